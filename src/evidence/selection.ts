// Whether the policy selects a span: by an attribute of its own, of its events and links, of its scope or resource.
import { Entries } from './entries.ts'
import { field, nextField } from './field.ts'
import type { Policy } from './policy.ts'
import type { Ranges } from './span-parts.ts'
import type { SpanContext } from './span-walk.ts'

const RESOURCE_ATTRIBUTE = 0x0a
const SCOPE_ATTRIBUTE = 0x1a
const EVENT_ATTRIBUTE = 0x1a
const LINK_ATTRIBUTE = 0x22

export class Selection {
  readonly #policy: Policy
  readonly #keys = new Entries()
  #byResource = false
  #byScope = false

  constructor(policy: Policy) {
    this.#policy = policy
  }

  resource({ buf, resourceStart, resourceEnd }: SpanContext): void {
    const keys = this.#attributes(buf, resourceStart, resourceEnd, RESOURCE_ATTRIBUTE)
    this.#byResource = this.#policy.selectsAll
    for (let i = 0; i < keys.count && !this.#byResource; i++) {
      this.#byResource = this.#policy.selectsResource(buf, keys.keyStart(i), keys.keyEnd(i))
    }
  }

  scope({ buf, scopeStart, scopeEnd }: SpanContext): void {
    this.#byScope = this.#byResource || this.#selectsIn(buf, scopeStart, scopeEnd, SCOPE_ATTRIBUTE)
  }

  /** After `resource` and `scope` of the groups around it. */
  selects({ buf, parts }: SpanContext): boolean {
    if (this.#byScope) return true
    const { attributes, events, links } = parts
    for (let i = 0; i < attributes.count; i++) {
      if (this.#policy.selects(buf, attributes.keyStart(i), attributes.keyEnd(i))) return true
    }
    return this.#selectsInAny(buf, events, EVENT_ATTRIBUTE) || this.#selectsInAny(buf, links, LINK_ATTRIBUTE)
  }

  #selectsInAny(buf: Uint8Array, messages: Ranges, attributeTag: number): boolean {
    for (let i = 0; i < messages.count; i++) {
      if (this.#selectsIn(buf, messages.start(i), messages.end(i), attributeTag)) return true
    }
    return false
  }

  #selectsIn(buf: Uint8Array, start: number, end: number, attributeTag: number): boolean {
    const keys = this.#attributes(buf, start, end, attributeTag)
    for (let i = 0; i < keys.count; i++) {
      if (this.#policy.selects(buf, keys.keyStart(i), keys.keyEnd(i))) return true
    }
    return false
  }

  #attributes(buf: Uint8Array, start: number, end: number, attributeTag: number): Entries {
    const keys = this.#keys
    keys.count = 0
    for (let pos = start; pos < end; ) {
      pos = nextField(buf, pos, end)
      if (field.tag === attributeTag) keys.push(buf, field.start, field.end)
    }
    return keys
  }
}
