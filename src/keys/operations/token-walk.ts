// Where tokens stand in one encoded request, each with the place that it is bound to (proto/sealed-value.md §5).
// Text is decoded as Latin-1 here, so that positions in it are positions in bytes; tokens are ASCII.

import { ANNOUNCEMENT_KEY_PREFIX, isAnnouncement } from '../../formats/announcement.ts'
import { findTokens, TOKEN_PREFIX } from '../../formats/sealed-value.ts'
import { placeHead, placeWithin } from '../../formats/value-place.ts'
import type { Edits } from '../../wire/edits.ts'
import { Frame, Place, type Signal, ValueType } from '../../wire/otlp.ts'
import { Fields } from '../../wire/reader.ts'
import { recordIds } from '../../wire/record-ids.ts'
import { scan, type Visitor } from '../../wire/scan.ts'

export interface FoundToken {
  readonly kid: string
  readonly token: string
  /** What value-place.ts makes. */
  readonly place: string
  /** Ids that it may be bound to, `undefined` for none: those of its record, or of the records below it. */
  readonly candidates: readonly (Uint8Array | undefined)[]
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
  /** What begins like a token and is none: cut, or its length changed. */
  damaged?(place: string): void
}

/** Records below a resource whose ids are tried for a value that a collector moved up into it. */
const RECORDS_TRIED_MAX = 64
/** Of ScopeSpans in ResourceSpans and of spans in those; log records likewise. */
const INNER_FIELD = 2

const OUTSIDE = [undefined]

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
  /** Places by depth, of the attributes around the scan's position. */
  readonly #places: string[] = []
  #candidates: readonly (Uint8Array | undefined)[] = OUTSIDE
  #group = { start: 0, end: 0 }
  /** For the present group; made when a token stands outside of its records. */
  #below: readonly (Uint8Array | undefined)[] | undefined
  #isInRecord = false

  constructor(body: Uint8Array, signal: Signal, walk: TokenWalk) {
    this.#bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
    this.#signal = signal
    this.#walk = walk
  }

  enter(frame: Frame, start: number, end: number): void {
    if (frame === Frame.RESOURCE_GROUP) {
      this.#group = { start, end }
      this.#below = undefined
    } else if (frame === Frame.ITEM && this.#signal !== 'metrics') {
      this.#isInRecord = true
      this.#candidates = [recordIds(this.#bytes, start, end, this.#signal)]
    }
  }

  leave(frame: Frame): void {
    if (frame === Frame.ITEM) this.#isInRecord = false
  }

  text(place: Place, start: number, end: number): void {
    this.#search(placeHead(place), start, end, undefined)
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
    const isOutermost = depth === 0 || (place === Place.LOG_BODY && depth === 1)
    this.#places[depth] = placeWithin(isOutermost ? placeHead(place) : this.#places[depth - 1]!, key)
    this.#places.length = depth + 1
    if (place !== Place.RESOURCE_ATTRIBUTE || depth > 0 || !key.startsWith(ANNOUNCEMENT_KEY_PREFIX))
      return false
    const text = this.#stringValue(valueStart, valueEnd)
    if (text === undefined || !isAnnouncement(key, text)) return false
    this.#walk.announcement(key.slice(ANNOUNCEMENT_KEY_PREFIX.length), text)
    return true
  }

  attributeEnd(depth: number): void {
    this.#places.length = depth
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
    const isBody = place === Place.LOG_BODY && this.#places.length <= 1
    const at = isBody ? placeHead(place) : this.#places.at(-1)!
    this.#search(at, start, end, { start: valueStart, end: valueEnd })
  }

  #search(
    place: string,
    start: number,
    end: number,
    value: { readonly start: number; readonly end: number } | undefined,
  ): void {
    const first = this.#bytes.indexOf(TOKEN_HEAD, start)
    if (first < 0 || first >= end) return
    const text = this.#bytes.toString('latin1', start, end)
    const damaged: number[] = []
    const tokens = findTokens(text, damaged)
    for (const _ of damaged) this.#walk.damaged?.(place)
    for (const at of tokens) {
      const isWhole = at.start === 0 && at.end === text.length
      this.#walk.token({
        kid: at.kid,
        token: text.slice(at.start, at.end),
        place,
        candidates: this.#isInRecord ? this.#candidates : this.#outside(),
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

  /** Outside of records a value is bound to no ids; one that was moved there is bound to those of a record below. */
  #outside(): readonly (Uint8Array | undefined)[] {
    this.#below ??= [undefined, ...this.#idsBelow()]
    return this.#below
  }

  #idsBelow(): Uint8Array[] {
    const found = new Map<string, Uint8Array>()
    if (this.#signal === 'metrics') return []
    for (const scope = new Fields(this.#bytes, this.#group.start, this.#group.end); scope.next(); ) {
      if (scope.field !== INNER_FIELD) continue
      for (const item = new Fields(this.#bytes, scope.start, scope.end); item.next(); ) {
        if (item.field !== INNER_FIELD) continue
        const ids = recordIds(this.#bytes, item.start, item.end, this.#signal)
        if (ids !== undefined) found.set(Buffer.from(ids).toString('latin1'), ids)
        if (found.size === RECORDS_TRIED_MAX) return [...found.values()]
      }
    }
    return [...found.values()]
  }
}
