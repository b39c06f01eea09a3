// Where tokens stand in one encoded request, each with the attribute key that it is bound to (proto/sealed-value.md §5).
// Text is decoded as Latin-1 here, so that positions in it are positions in bytes; tokens are ASCII.

import { ANNOUNCEMENT_KEY_PREFIX, isAnnouncement } from '../../formats/announcement.ts'
import { findTokens, TOKEN_PREFIX } from '../../formats/sealed-value.ts'
import { TEXT_KEY } from '../../formats/text-keys.ts'
import type { Edits } from '../../wire/edits.ts'
import { Frame, Place, type Signal, ValueType } from '../../wire/otlp.ts'
import { Fields } from '../../wire/reader.ts'
import { scan, type Visitor } from '../../wire/scan.ts'

export interface FoundToken {
  readonly kid: string
  readonly token: string
  readonly attributeKey: string
  /** Of the span or log record around it; `undefined` outside. */
  readonly traceId: Uint8Array | undefined
  /** The bytes of the token. */
  readonly start: number
  readonly end: number
  /** The AnyValue that is nothing but this token; `undefined` when the token is part of a text. */
  readonly wholeValue: { readonly start: number; readonly end: number } | undefined
}

export interface TokenWalk {
  announcement(kid: string, text: string): void
  /** Called while the scan runs, so an edit may be made here. */
  token(found: FoundToken): void
}

/** Field number of the trace id in the messages that have one. */
const TRACE_ID_FIELD: Readonly<Partial<Record<Signal, number>>> = { traces: 1, logs: 9 }

const TOKEN_HEAD = Buffer.from(TOKEN_PREFIX)

/** Walks one encoded Export request. Throws MALFORMED or TOO_DEEP as `scan` does. */
export function walkTokens(body: Uint8Array, signal: Signal, walk: TokenWalk, edits?: Edits): void {
  const visitor = new TokenVisitor(body, signal, walk)
  if (edits === undefined) scan(body, signal, visitor)
  else scan(body, signal, visitor, edits)
}

class TokenVisitor implements Visitor {
  readonly #bytes: Buffer
  readonly #signal: Signal
  readonly #walk: TokenWalk
  readonly #path: string[] = []
  #item: { readonly start: number; readonly end: number } | undefined

  constructor(body: Uint8Array, signal: Signal, walk: TokenWalk) {
    this.#bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
    this.#signal = signal
    this.#walk = walk
  }

  enter(frame: Frame, start: number, end: number): void {
    if (frame === Frame.ITEM) this.#item = { start, end }
  }

  leave(frame: Frame): void {
    if (frame === Frame.ITEM) this.#item = undefined
  }

  text(place: Place, start: number, end: number): void {
    this.#search(TEXT_KEY[place], start, end, undefined)
  }

  attribute(
    place: Place,
    depth: number,
    _fieldStart: number,
    _end: number,
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
  ): boolean {
    const key = this.#bytes.toString('utf8', keyStart, keyEnd)
    if (place === Place.LOG_BODY) this.#path[0] = '@log.body'
    this.#path[depth] = key
    this.#path.length = depth + 1
    if (place !== Place.RESOURCE_ATTRIBUTE || depth > 0 || !key.startsWith(ANNOUNCEMENT_KEY_PREFIX))
      return false
    const text = this.#stringValue(valueStart, valueEnd)
    if (text === undefined || !isAnnouncement(key, text)) return false
    this.#walk.announcement(key.slice(ANNOUNCEMENT_KEY_PREFIX.length), text)
    return true
  }

  attributeEnd(depth: number): void {
    this.#path.length = depth
  }

  scalar(
    place: Place,
    type: ValueType,
    start: number,
    end: number,
    valueStart: number,
    valueEnd: number,
  ): void {
    if (type !== ValueType.STRING && type !== ValueType.BYTES) return
    const isBody = place === Place.LOG_BODY && this.#path.length <= 1
    const key = isBody ? '@log.body' : this.#path.join('.')
    this.#search(key, start, end, { start: valueStart, end: valueEnd })
  }

  #search(
    attributeKey: string,
    start: number,
    end: number,
    value: { readonly start: number; readonly end: number } | undefined,
  ): void {
    const first = this.#bytes.indexOf(TOKEN_HEAD, start)
    if (first < 0 || first >= end) return
    const text = this.#bytes.toString('latin1', start, end)
    for (const at of findTokens(text)) {
      const isWhole = at.start === 0 && at.end === text.length
      this.#walk.token({
        kid: at.kid,
        token: text.slice(at.start, at.end),
        attributeKey,
        traceId: this.#traceId(),
        start: start + at.start,
        end: start + at.end,
        wholeValue: isWhole ? value : undefined,
      })
    }
  }

  #stringValue(start: number, end: number): string | undefined {
    const value = new Fields(this.#bytes, start, end)
    let text: string | undefined
    while (value.next()) {
      text =
        value.field === ValueType.STRING ? this.#bytes.toString('utf8', value.start, value.end) : undefined
    }
    return text
  }

  #traceId(): Uint8Array | undefined {
    const field = TRACE_ID_FIELD[this.#signal]
    if (this.#item === undefined || field === undefined) return undefined
    const item = new Fields(this.#bytes, this.#item.start, this.#item.end)
    let traceId: Uint8Array | undefined
    while (item.next()) {
      if (item.field === field && item.end - item.start === 16)
        traceId = this.#bytes.subarray(item.start, item.end)
    }
    return traceId
  }
}
