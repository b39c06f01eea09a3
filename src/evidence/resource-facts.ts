// What a verifier wants to know of a Resource: whose it says to be. Read once for all spans below it.
import { STATEMENT_KEY_PREFIX } from '../formats/signature-keys.ts'
import { rangeEquals } from '../wire/resources.ts'
import { Entries } from './entries.ts'
import { field, nextField } from './field.ts'
import { startsWith } from './span-parts.ts'
import type { SpanContext } from './span-walk.ts'
import { stringOf } from './string-value.ts'

const RESOURCE_ATTRIBUTE = 0x0a
const STATEMENT_KEY = Buffer.from(STATEMENT_KEY_PREFIX)
const TENANT_KEY = Buffer.from('betrace.tenant')

export class ResourceFacts {
  /** What its first `betrace.tenant` says, as the sidecar reads it; '' where none does, or no string. */
  tenant = ''
  /** Its `betrace.statement.<id>` by id; one that stands twice or is no string is left out. */
  readonly statements = new Map<string, string>()
  readonly #doubled = new Set<string>()
  readonly #entries = new Entries()
  #groupNumber = 0

  /** Everything public is about this span's Resource until the next call. Returns how many bytes it read. */
  read(span: SpanContext): number {
    if (span.groupNumber === this.#groupNumber) return 0
    this.#groupNumber = span.groupNumber
    const { buf, resourceStart, resourceEnd } = span
    const entries = this.#entries
    let hasTenant = false
    this.statements.clear()
    this.#doubled.clear()
    this.tenant = ''
    entries.count = 0
    for (let pos = resourceStart; pos < resourceEnd; ) {
      pos = nextField(buf, pos, resourceEnd)
      if (field.tag !== RESOURCE_ATTRIBUTE) continue
      entries.count = 0
      entries.push(buf, field.start, field.end)
      if (startsWith(buf, entries.keyStart(0), entries.keyEnd(0), STATEMENT_KEY)) this.#addStatement(buf)
      if (hasTenant || !rangeEquals(buf, entries.keyStart(0), entries.keyEnd(0), TENANT_KEY)) continue
      hasTenant = true
      this.tenant = stringOf(buf, entries.valueStart(0), entries.valueEnd(0)) ?? ''
    }
    return resourceEnd - resourceStart
  }

  #addStatement(buf: Uint8Array): void {
    const entries = this.#entries
    const id = latin1(buf, entries.keyStart(0) + STATEMENT_KEY.length, entries.keyEnd(0))
    const text = stringOf(buf, entries.valueStart(0), entries.valueEnd(0))
    if (text === undefined || this.statements.has(id)) this.#doubled.add(id)
    if (this.#doubled.has(id)) this.statements.delete(id)
    else if (text !== undefined) this.statements.set(id, text)
  }
}

function latin1(buf: Uint8Array, start: number, end: number): string {
  return Buffer.from(buf.buffer, buf.byteOffset + start, end - start).toString('latin1')
}
