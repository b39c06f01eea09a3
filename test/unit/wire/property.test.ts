import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import { Edits } from '../../../src/wire/edits.ts'
import { jsonToProtobuf, protobufToJson } from '../../../src/wire/json.ts'
import { MESSAGES } from '../../../src/wire/messages.ts'
import type { Place, Signal, ValueType } from '../../../src/wire/otlp.ts'
import { scan, type Visitor } from '../../../src/wire/scan.ts'
import { splice } from '../../../src/wire/splice.ts'
import { stringValue } from '../../../src/wire/write.ts'
import { request } from './arbitrary.ts'
import { encode, read, requestType } from './oracle.ts'
import { field, idle, joined } from './recorder.ts'

const signals: Signal[] = ['traces', 'logs', 'metrics']
const seed = Number(process.env.FC_SEED ?? 20_260_701)
console.info(`wire properties: FC_SEED=${seed}`)
const runs = (numRuns: number): fc.Parameters<unknown> => ({ seed, numRuns })

/** The name of each place as the messages and fields that it stands for. */
const fieldsOf = new Map<Place, Set<string>>()
for (const [name, message] of Object.entries(MESSAGES)) {
  for (const spec of message.fields) {
    if (spec.place === undefined) continue
    fieldsOf.set(spec.place, (fieldsOf.get(spec.place) ?? new Set()).add(`${name}.${spec.name}`))
  }
}
const placeName = (place: Place): string => [...fieldsOf.get(place)!].sort().join('|')
const placeNameOf = new Map(
  [...fieldsOf].flatMap(([place, names]) => [...names].map((name) => [name, placeName(place)])),
)

/** Text, or the length of bytes that are none: protobufjs reads those as replacement characters. */
const shown = (bytes: Uint8Array): string => (isUtf8(bytes) ? new TextDecoder().decode(bytes) : '(no utf-8)')

/** What our scan reports, one line per text, attribute and scalar. */
class Lines implements Visitor {
  readonly lines: string[] = []
  readonly buf: Uint8Array
  constructor(buf: Uint8Array) {
    this.buf = buf
  }
  enter(): void {}
  leave(): void {}
  attributeEnd(): void {}
  text(place: Place, start: number, end: number): void {
    if (start < end) this.lines.push(`${placeName(place)} ${shown(this.buf.subarray(start, end))}`)
  }
  attribute(place: Place, depth: number, _f: number, _e: number, keyStart: number, keyEnd: number): boolean {
    this.lines.push(`${placeName(place)} key ${depth} ${shown(this.buf.subarray(keyStart, keyEnd))}`)
    return false
  }
  scalar(place: Place, type: ValueType, start: number, end: number): void {
    const isText = type === 1
    this.lines.push(`${placeName(place)} type ${type} ${isText ? shown(this.buf.subarray(start, end)) : ''}`)
  }
}

type Message = Record<string, unknown>

/** The same lines from what protobufjs read. */
function linesOf(name: string, message: Message, out: string[]): void {
  for (const [key, value] of Object.entries(message)) {
    const place = placeNameOf.get(`${name}.${key}`)
    const type = MESSAGES[name as keyof typeof MESSAGES].fields.find((spec) => spec.name === key)!.type
    for (const item of Array.isArray(value) ? value : [value]) {
      if (type === 'KeyValue') keyValueLines(place!, 0, item as Message, out)
      else if (type === 'AnyValue') valueLines(place!, 0, item as Message, out)
      else if (Object.hasOwn(MESSAGES, type)) linesOf(type, item as Message, out)
      else if (place !== undefined && item !== '') out.push(`${place} ${fromProto(item)}`)
    }
  }
}

const fromProto = (value: unknown): string =>
  String(value).includes('\ufffd') ? '(no utf-8)' : String(value)

function keyValueLines(place: string, depth: number, item: Message, out: string[]): void {
  out.push(`${place} key ${depth} ${fromProto(item.key ?? '')}`)
  if (item.value) valueLines(place, depth, item.value as Message, out)
}

const VALUE_TYPES = ['', 'stringValue', 'boolValue', 'intValue', 'doubleValue', '', '', 'bytesValue']

function valueLines(place: string, depth: number, value: Message, out: string[]): void {
  for (const [key, content] of Object.entries(value)) {
    const items = ((content as Message)?.values ?? []) as Message[] // only lists have values
    if (key === 'arrayValue') for (const item of items) valueLines(place, depth, item, out)
    else if (key === 'kvlistValue') for (const item of items) keyValueLines(place, depth + 1, item, out)
    else if (key === 'stringValue') out.push(`${place} type 1 ${fromProto(content)}`)
    else out.push(`${place} type ${key === 'stringValueStrindex' ? 3 : VALUE_TYPES.indexOf(key)} `)
  }
}

/** Replacement characters that were sent as such cannot be told from broken text: both count as broken. */
const normalised = (lines: readonly string[]): string[] =>
  lines
    .map((line) => (line.includes('\ufffd') ? line.replace(/ [^ ]*\ufffd.*$/s, ' (no utf-8)') : line))
    .sort()

function expectSameContent(signal: Signal, buf: Uint8Array): void {
  const visitor = new Lines(buf)
  scan(buf, signal, visitor)
  const theirs: string[] = []
  linesOf(requestType[signal].name, read(signal, buf), theirs)
  expect(normalised(visitor.lines)).toEqual(normalised(theirs))
}

describe.each(signals)('%s', (signal) => {
  test('a request that protobufjs wrote is read with the same content', () => {
    fc.assert(
      fc.property(request[signal], (content) => expectSameContent(signal, encode(signal, content))),
      runs(150),
    )
  })

  test('without an edit the buffer is the same one', () => {
    fc.assert(
      fc.property(request[signal], (content) => {
        const buf = encode(signal, content)
        const edits = new Edits()
        scan(buf, signal, { ...idle, scalar: (_p, _t, start, end) => void edits.reserve(start, end) }, edits)
        expect(splice(buf, edits)).toBe(buf)
      }),
      runs(50),
    )
  })

  test('edits change what they say and nothing else', () => {
    fc.assert(
      fc.property(
        request[signal],
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 0, max: 200 }),
        (content, nth, size) => {
          const buf = encode(signal, content)
          const edits = new Edits()
          const expected: string[] = []
          const replacement = 'r'.repeat(size)
          const visitor = new EveryNth(buf, edits, nth, replacement, expected)
          scan(buf, signal, visitor, edits)
          const out = splice(buf, edits)
          const after = new Lines(out)
          scan(out, signal, after)
          expect(after.lines).toEqual(expected)
          expectSameContent(signal, out)
        },
      ),
      runs(100),
    )
  })

  test('protobuf to JSON to protobuf keeps what protobufjs reads, and JSON is stable', () => {
    fc.assert(
      fc.property(request[signal], (content) => {
        const buf = encode(signal, content)
        const json = protobufToJson(buf, signal)
        const back = jsonToProtobuf(Buffer.from(json), signal)
        expect(protobufToJson(back, signal)).toBe(json)
        expect(defaulted(signal, back)).toEqual(defaulted(signal, buf))
        expect(() => JSON.parse(json)).not.toThrow()
        expect(
          Buffer.compare(
            jsonToProtobuf(Buffer.from(JSON.stringify(JSON.parse(json), null, 1)), signal),
            back,
          ),
        ).toBe(0)
      }),
      runs(100),
    )
  })

  test('unknown fields survive edits around them', () => {
    fc.assert(
      fc.property(request[signal], fc.uint8Array({ maxLength: 300 }), (content, secret) => {
        const unknown = joined(0xa2, 0x06, field(1, secret).subarray(1)) // field 100
        const buf = joined(
          encode(signal, content),
          field(1, unknown, field(1, unknown, field(1, unknown)), unknown),
        )
        const edits = new Edits()
        const replaceAll = {
          ...idle,
          text: (_p: Place, s: number, e: number) => edits.replace(s, e, stringValue('t')),
        }
        scan(buf, signal, replaceAll, edits)
        const out = Buffer.from(splice(buf, edits))
        const tail = joined(field(1, unknown, field(1, unknown, field(1, unknown)), unknown))
        expect(out.subarray(-tail.length).equals(tail)).toBe(true)
      }),
      runs(50),
    )
  })
})

/** With every default written out: JSON does not tell zero from absent. */
function defaulted(signal: Signal, bytes: Uint8Array): unknown {
  const type = requestType[signal]
  return type.toObject(type.decode(bytes), {
    longs: String,
    bytes: String,
    enums: Number,
    defaults: true,
    arrays: true,
  })
}

/** Replaces every nth scalar by text of its own, and writes down what the result must report. */
class EveryNth extends Lines {
  readonly #edits: Edits
  readonly #nth: number
  readonly #replacement: string
  readonly #expected: string[]
  #count = 0

  constructor(buf: Uint8Array, edits: Edits, nth: number, replacement: string, expected: string[]) {
    super(buf)
    this.#edits = edits
    this.#nth = nth
    this.#replacement = replacement
    this.#expected = expected
  }

  override text(place: Place, start: number, end: number): void {
    if (this.#isNext()) {
      this.#edits.replace(start, end, new TextEncoder().encode(this.#replacement))
      if (this.#replacement !== '') this.#expected.push(`${placeName(place)} ${this.#replacement}`)
    } else this.#keep(() => super.text(place, start, end))
  }

  override attribute(
    place: Place,
    depth: number,
    f: number,
    e: number,
    keyStart: number,
    keyEnd: number,
  ): boolean {
    if (this.#isNext()) {
      this.#edits.replace(keyStart, keyEnd, new TextEncoder().encode(this.#replacement))
      this.#expected.push(`${placeName(place)} key ${depth} ${this.#replacement}`)
    } else this.#keep(() => void super.attribute(place, depth, f, e, keyStart, keyEnd))
    return false
  }

  override scalar(
    place: Place,
    type: ValueType,
    start: number,
    end: number,
    from?: number,
    to?: number,
  ): void {
    if (this.#isNext()) {
      this.#edits.replace(from!, to!, stringValue(this.#replacement))
      this.#expected.push(`${placeName(place)} type 1 ${this.#replacement}`)
    } else this.#keep(() => super.scalar(place, type, start, end))
  }

  #isNext(): boolean {
    return ++this.#count % this.#nth === 0
  }

  #keep(report: () => void): void {
    const before = this.lines.length
    report()
    this.#expected.push(...this.lines.slice(before))
  }
}

describe('mutated requests', () => {
  /** Bytes that matter: tags, lengths, continuation bits. */
  const byte = fc.oneof(
    fc.integer({ min: 0, max: 255 }),
    fc.constantFrom(0, 1, 0x0a, 0x12, 0x18, 0x7f, 0x80, 0xff),
  )
  const mutation = fc.record({
    at: fc.nat(),
    byte,
    kind: fc.constantFrom('set', 'insert', 'delete', 'cut', 'repeat'),
  })

  function mutate(
    buf: Uint8Array,
    mutations: readonly { at: number; byte: number; kind: string }[],
  ): Uint8Array {
    let bytes = [...buf]
    for (const { at, byte: value, kind } of mutations) {
      const i = at % (bytes.length + 1)
      if (kind === 'set') bytes[i] = value
      else if (kind === 'insert') bytes.splice(i, 0, value)
      else if (kind === 'delete') bytes.splice(i, 1 + (value % 4))
      else if (kind === 'cut') bytes = bytes.slice(0, i)
      else bytes.splice(i, 0, ...bytes.slice(i, i + 1 + (value % 32)))
    }
    return Uint8Array.from(bytes)
  }

  test.each(signals)('that we accept protobufjs accepts with equal content: %s', (signal) => {
    let acceptedCount = 0
    let refusedCount = 0
    fc.assert(
      fc.property(
        request[signal],
        fc.array(mutation, { minLength: 1, maxLength: 3 }),
        (content, mutations) => {
          const buf = mutate(encode(signal, content), mutations)
          try {
            scan(buf, signal, idle)
          } catch (error) {
            refusedCount++
            expect(error).toBeInstanceOf(SidecarError)
            expect(['MALFORMED', 'TOO_DEEP']).toContain((error as SidecarError).code)
            return
          }
          acceptedCount++
          expectSameContent(signal, buf)
          expect(() => protobufToJson(buf, signal)).not.toThrow()
        },
      ),
      runs(1000),
    )
    expect(acceptedCount).toBeGreaterThan(100)
    expect(refusedCount).toBeGreaterThan(100)
  })

  test('of JSON end in a request that the scan accepts, or in a SidecarError', () => {
    fc.assert(
      fc.property(
        request.traces,
        fc.array(mutation, { minLength: 1, maxLength: 3 }),
        (content, mutations) => {
          const json = mutate(Buffer.from(protobufToJson(encode('traces', content), 'traces')), mutations)
          try {
            scan(jsonToProtobuf(json, 'traces'), 'traces', idle)
          } catch (error) {
            expect(error).toBeInstanceOf(SidecarError)
            return
          }
          expect(() => JSON.parse(new TextDecoder().decode(json))).not.toThrow() // what we accept is JSON
        },
      ),
      runs(500),
    )
  })
})
