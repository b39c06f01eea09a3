// OTLP/JSON to protobuf (OTLP 1.11, "JSON Protobuf Encoding"), as it is read, for the door, the verifier and reveal
// alike. Ids are hex, as OTLP has it; all else is protobuf's JSON mapping: both spellings of names, enumerations by number
// or name. A request has one reading here. What JSON parsers disagree about is refused: a member given twice under any
// spelling, also where one is `null`; two values in one AnyValue; a name spelled in neither way. Unknown scalars are
// ignored, as OTLP asks; an unknown object or list is refused, since it may be what the sender believes to have sent.
import { SidecarError } from '../base/errors.ts'
import { ITEMS_PER_REQUEST_MAX, MESSAGE_DEPTH_MAX, UNKNOWN_MEMBERS_MAX } from '../base/limits.ts'
import type { Cleaned } from './clean.ts'
import { Faults, ItemFault } from './faults.ts'
import { pathText } from './field-walk.ts'
import { JsonLexer } from './json-lexer.ts'
import {
  FILE_MEMBERS,
  folded,
  type JsonMember,
  type JsonMembers,
  jsonMembers,
  SIGNALS,
} from './json-members.ts'
import { writeNumber } from './json-number.ts'
import { hexDigit } from './json-string.ts'
import { MESSAGES } from './messages.ts'
import { Frame, type Signal } from './otlp.ts'
import { Fields, malformed } from './reader.ts'
import { type FieldSpec, idLength, type MessageName, REQUEST_OF, Wire, wireTypeOf } from './schema.ts'
import { isUtf8Range, repairedUtf8 } from './utf8.ts'
import { Writer, type WriterState } from './write.ts'

/**
 * An OTLP/JSON Export request as protobuf. Throws MALFORMED, with the place, for what is no JSON or no request of this
 * signal, and TOO_DEEP. Numbers of 64 bits keep every digit, given as strings or as numbers. The result is the caller's.
 */
export function jsonToProtobuf(body: Uint8Array, signal: Signal): Uint8Array {
  return read(new JsonReader(body), jsonMembers(REQUEST_OF[signal]))
}

export interface SignalRequest {
  readonly signal: Signal
  readonly body: Uint8Array
}

/** As `jsonToProtobuf`, for one object that may hold several signals: a request for each that it names. */
export function jsonToRequests(body: Uint8Array): SignalRequest[] {
  const reader = new JsonReader(body)
  const groups = read(reader, FILE_MEMBERS)
  const parts = SIGNALS.map((): Uint8Array[] => [])
  for (const fields = new Fields(groups, 0, groups.length); fields.next(); ) {
    groups[fields.fieldStart] = GROUP_TAG
    parts[fields.field - 1]!.push(groups.subarray(fields.fieldStart, fields.end))
  }
  return SIGNALS.flatMap((signal, index) => {
    const isAll = parts.every((each, other) => other === index || each.length === 0)
    const request = { signal, body: isAll ? groups : Buffer.concat(parts[index]!) }
    return reader.hasRead(index) ? [request] : []
  })
}

/** Of the groups in every request: field 1, of bytes. */
const GROUP_TAG = 0x0a

/**
 * As `jsonToProtobuf`, for what comes from outside: an item that is JSON, but no item, is left out, and so is one with an
 * id of a wrong length or text that is no UTF-8. Throws TOO_LARGE where more are than a request may hold.
 */
export function jsonToSoundItems(body: Uint8Array, signal: Signal): Cleaned {
  const faults = new Faults()
  return { body: read(new JsonReader(body, faults), jsonMembers(REQUEST_OF[signal])), faults }
}

/** As `jsonToSoundItems`, for a large request: between two slices others have their turn. */
export function* jsonToSoundItemsInSlices(
  body: Uint8Array,
  signal: Signal,
  sliceBytes: number = SLICE_BYTES,
): Generator<void, Cleaned> {
  const faults = new Faults()
  const reader = new JsonReader(body, faults)
  reader.begin(jsonMembers(REQUEST_OF[signal]))
  while (!reader.readOn(reader.lexer.pos + sliceBytes)) yield
  return { body: reader.writer.finish(), faults }
}

function read(reader: JsonReader, members: JsonMembers): Uint8Array {
  reader.begin(members)
  reader.readOn(Number.POSITIVE_INFINITY)
  return reader.writer.finish()
}

/** Of a slice, about a millisecond's. */
const SLICE_BYTES = 16 * 1024
const NO_MARK = -1

/** A message that the reader is in. */
class Level {
  members: JsonMembers = FILE_MEMBERS
  /** The bits of the members that it has had. */
  seen = 0
  /** How many it has had, of which these are not known. */
  count = 0
  unknown: Set<string> | undefined
  /** Its frame in the writer. */
  mark = NO_MARK
  /** The member in whose array the reader is, in front of an element. */
  array: JsonMember | undefined
  /** The frame of that array, where its numbers are packed. */
  packed = NO_MARK
  isOfItems = false
}

/** Reads step by step, with a stack of its own, so that it can be left at any step and go on there. */
class JsonReader {
  readonly lexer: JsonLexer
  readonly writer: Writer
  /** Where faults of items go; without, they are the whole request's. */
  readonly #faults: Faults | undefined
  /** The fields that the reader is in, outermost first, with the position of each among its like. */
  readonly #path: FieldSpec[] = []
  readonly #indexes: number[] = []
  readonly #levels: Level[] = []
  #depth = -1
  /** Number of the member that is not known, where there is something against it. */
  #unknownAt = 0
  #isSkipping = false
  #isInItem = false
  // Where the present item began.
  #itemDepth = 0
  #itemPos = 0
  #itemState: WriterState | undefined

  constructor(body: Uint8Array, faults?: Faults) {
    this.lexer = new JsonLexer(body, faults !== undefined)
    this.writer = new Writer(body.length >> 1)
    this.#faults = faults
  }

  /** By the names of the schema and by positions: `resourceSpans[0], member 3`. Empty for the request itself. */
  get where(): string {
    const path = pathText(this.#path, this.#indexes)
    if (this.#unknownAt === 0) return path
    return `${path === '' ? '' : `${path}, `}member ${this.#unknownAt}`
  }

  begin(members: JsonMembers): void {
    this.#enter(members, NO_MARK)
  }

  /** Whether the outermost object has had its member of this index. */
  hasRead(index: number): boolean {
    return (this.#levels[0]!.seen & (1 << index)) !== 0
  }

  /** Whether the request is at its end; else the reader has come to `untilPos` and goes on at the next call. */
  readOn(untilPos: number): boolean {
    const { lexer } = this
    for (;;) {
      try {
        while (this.#depth >= 0) {
          if (lexer.pos >= untilPos) return false
          this.#step(untilPos)
        }
        lexer.expectEnd()
        return true
      } catch (thrown) {
        this.#leaveOut(thrown)
      }
    }
  }

  #step(untilPos: number): void {
    const level = this.#levels[this.#depth]
    if (this.#isSkipping) {
      if (!this.lexer.skipOn(untilPos)) return
      this.#isSkipping = false
      this.#endElement(level)
    } else if (level.array === undefined) this.#member(level)
    else this.#element(level, level.array)
  }

  #enter(members: JsonMembers, mark: number): void {
    const depth = ++this.#depth
    this.#levels[depth] ??= new Level()
    const level = this.#levels[depth]
    level.members = members
    level.seen = 0
    level.count = 0
    level.unknown = undefined
    level.mark = mark
    level.array = undefined
    this.lexer.beginObject()
  }

  #leave({ mark }: Level): void {
    if (mark !== NO_MARK) this.writer.close(mark)
    const depth = --this.#depth
    if (depth < 0) return
    const parent = this.#levels[depth]
    if (parent.array === undefined) {
      this.#path.length = depth
      return
    }
    if (parent.isOfItems) this.#isInItem = false
    this.#endElement(parent)
  }

  #member(level: Level): void {
    const { lexer } = this
    if (!lexer.nextKey(level.count++ === 0)) {
      this.#leave(level)
      return
    }
    const member = level.members.named(lexer.text, lexer.start, lexer.end)
    if (member === undefined) {
      this.#unknownMember(level)
      return
    }
    const depth = this.#depth
    this.#path[depth] = member.spec
    this.#indexes[depth] = 0
    if ((level.seen & member.bit) !== 0)
      throw malformed('json gives a member twice, or two of which one may be')
    level.seen |= member.bit
    if (lexer.takeNull()) this.#path.length = depth
    else if (member.spec.repeated) this.#beginArray(level, member)
    else this.#singular(member)
  }

  /** Ignored where it is a scalar, and given once like any other. */
  #unknownMember(level: Level): void {
    const { lexer } = this
    this.#unknownAt = level.count
    const name = folded(lexer.decodedText())
    if (level.members.hasFolded(name)) throw malformed('json spells a member in neither of its two ways')
    level.unknown ??= new Set()
    if (level.unknown.has(name)) throw malformed('json gives a member twice')
    if (level.unknown.size === UNKNOWN_MEMBERS_MAX) throw malformed('json has too many unknown members')
    level.unknown.add(name)
    if (lexer.atContainer()) throw malformed('json has an unknown object or list')
    lexer.skipOn(Number.POSITIVE_INFINITY)
    this.#unknownAt = 0
  }

  #beginArray(level: Level, member: JsonMember): void {
    const { lexer, writer } = this
    const { spec, inner, wireType } = member
    lexer.beginArray()
    if (!lexer.nextElement(true)) {
      this.#path.length = this.#depth
      return
    }
    // As the scan has it: an entry of a list opens three messages at most, a KeyValue, its value, and the list in that.
    if (this.#depth > MESSAGE_DEPTH_MAX - 3) throw new SidecarError('TOO_DEEP', 'values are nested too deep')
    level.array = member
    level.packed = wireType === Wire.LENGTH ? NO_MARK : writer.open(spec.number)
    level.isOfItems = inner !== undefined && this.#faults !== undefined && isItem(spec)
  }

  #element(level: Level, { spec, inner }: JsonMember): void {
    const { lexer, writer } = this
    if (inner !== undefined) {
      if (level.isOfItems) this.#beginItem()
      this.#enter(inner, writer.open(spec.number))
      return
    }
    if (level.packed === NO_MARK) this.#text(spec, true)
    else writeNumber(lexer, writer, spec)
    this.#endElement(level)
  }

  #endElement(level: Level): void {
    const depth = this.#depth
    this.#indexes[depth]++
    this.#path.length = depth + 1
    if (this.lexer.nextElement(false)) return
    if (level.packed !== NO_MARK) this.writer.close(level.packed)
    level.array = undefined
    this.#path.length = depth
  }

  #beginItem(): void {
    this.#itemDepth = this.#depth
    this.#itemPos = this.lexer.pos
    this.#itemState = this.writer.save()
    this.#isInItem = true
  }

  /** An item that is JSON but none of its kind is left out, and the reader goes on behind it. */
  #leaveOut(thrown: unknown): void {
    if (!(thrown instanceof SidecarError) || thrown.code !== 'MALFORMED') throw thrown
    const { where } = this
    const state = this.#itemState
    if (!this.#isInItem || state === undefined)
      throw where === '' ? thrown : new SidecarError('MALFORMED', `${where}: ${thrown.message}`)
    this.#reject(thrown, where)
    this.writer.restore(state)
    this.lexer.goTo(this.#itemPos)
    this.#depth = this.#itemDepth
    this.#path.length = this.#depth + 1
    this.#unknownAt = 0
    this.#isInItem = false
    this.#isSkipping = true // throws where it is no JSON either
  }

  #reject(thrown: SidecarError, where: string): void {
    const faults = this.#faults!
    if (thrown instanceof ItemFault) faults.reject(thrown.reason, where)
    else faults.reject('INVALID_JSON', where, thrown.message)
    if (faults.rejectedItems > ITEMS_PER_REQUEST_MAX)
      throw new SidecarError('TOO_LARGE', 'too many items cannot be read')
  }

  #singular({ spec, inner, hasPresence, wireType }: JsonMember): void {
    if (inner !== undefined) {
      this.#enter(inner, this.writer.open(spec.number))
      return
    }
    if (wireType === Wire.LENGTH) this.#text(spec, hasPresence)
    else this.#number(spec, hasPresence)
    this.#path.length = this.#depth
  }

  #number(spec: FieldSpec, hasPresence: boolean): void {
    scratch.clear()
    const isZero = writeNumber(this.lexer, scratch, spec)
    if (isZero && !hasPresence) return
    this.writer.tag(spec.number, wireTypeOf(spec.type))
    this.writer.raw(scratch.finish())
  }

  #text(spec: FieldSpec, hasPresence: boolean): void {
    const { lexer } = this
    lexer.takeString()
    let bytes = lexer.text.subarray(lexer.start, lexer.end)
    if (spec.type === 'string') bytes = this.#sound(bytes)
    else if (spec.type === 'bytes') bytes = fromBase64(lexer.stringText())
    else {
      bytes = fromHex(bytes)
      const isRight = bytes.length === 0 || bytes.length === idLength(spec)
      if (this.#faults !== undefined && !isRight) throw new ItemFault('INVALID_ID', 'id has the wrong length')
    }
    if (bytes.length > 0 || hasPresence) this.writer.bytes(spec.number, bytes)
  }

  /** Text that is UTF-8. Half a surrogate pair is none: at the door it is repaired and counted, in an item too. */
  #sound(bytes: Uint8Array): Uint8Array {
    const { lexer } = this
    if (lexer.isRepaired) {
      if (this.#faults === undefined) throw malformed('json string holds half of a surrogate pair')
      this.#faults.repair(this)
    }
    if (lexer.isUtf8 || isUtf8Range(bytes, 0, bytes.length)) return bytes
    if (this.#isInItem) throw new ItemFault('INVALID_UTF8', 'text is no utf-8')
    this.#faults?.repair(this)
    return repairedUtf8(bytes, 0, bytes.length)
  }
}

/** Holds one number until it is known whether it is written. */
const scratch = new Writer()

function isItem({ type }: FieldSpec): boolean {
  return MESSAGES[type as MessageName].frame === Frame.ITEM // asked of messages only
}

function fromHex(digits: Uint8Array): Uint8Array {
  if (digits.length % 2 !== 0) throw new ItemFault('INVALID_ID', 'id is no hex')
  const out = new Uint8Array(digits.length / 2)
  for (let i = 0; i < out.length; i++) {
    const high = hexDigit(digits[2 * i])
    const low = hexDigit(digits[2 * i + 1])
    if (high < 0 || low < 0) throw new ItemFault('INVALID_ID', 'id is no hex')
    out[i] = high * 16 + low
  }
  return out
}

const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/

function fromBase64(text: string): Uint8Array {
  const digits = text.replace(/={1,2}$/, '')
  if (!BASE64.test(text) || digits.length % 4 === 1) throw malformed('bytes are no base64')
  return Buffer.from(digits, 'base64')
}
