import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CanonicalForm } from '../../../src/evidence/canonical.ts'
import { compileCoverage } from '../../../src/evidence/policy.ts'
import { SpanWalk } from '../../../src/evidence/span-walk.ts'
import { DEFAULT_COVERAGE } from '../../../src/evidence/statement.ts'
import { StarGlobs } from '../../../src/wire/attribute-glob.ts'
import { jsonToProtobuf, protobufToJson } from '../../../src/wire/json.ts'
import { attribute, decode, encode, type Message, request, span } from './otlp.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

function formsOf(body: Uint8Array, coverage = DEFAULT_COVERAGE): string[] {
  const canonical = new CanonicalForm(compileCoverage(coverage))
  const found: string[] = []
  new SpanWalk({
    resource() {},
    scope() {},
    span(each) {
      found.push(hex(canonical.form(each)))
    },
  }).run(body)
  return found
}

const formOf = (message: Message): string =>
  formsOf(encode({ resourceSpans: [{ scopeSpans: [{ spans: [message] }] }] }))[0]!

const text = fc.string({ unit: 'grapheme', maxLength: 12 })
const keyText = fc.oneof(text, fc.constantFrom('a', 'ab', 'a.b', 'b', ''))
const { anyValue } = fc.letrec<{ anyValue: Message; entry: Message }>((tie) => ({
  anyValue: fc.oneof(
    { depthSize: 'small', maxDepth: 4 },
    text.map((stringValue) => ({ stringValue })),
    fc.boolean().map((boolValue) => ({ boolValue })),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((int) => ({ intValue: int.toString() })),
    fc.double().map((doubleValue) => ({ doubleValue })),
    fc.uint8Array({ maxLength: 9 }).map((bytesValue) => ({ bytesValue })),
    fc.constant({}),
    fc.array(tie('anyValue'), { maxLength: 4 }).map((values) => ({ arrayValue: { values } })),
    fc.array(tie('entry'), { maxLength: 4 }).map((values) => ({ kvlistValue: { values } })),
  ),
  entry: fc.record({ key: keyText, value: tie('anyValue') }),
}))
const entries = fc.array(fc.record({ key: keyText, value: anyValue }), { maxLength: 12 })

describe('the same meaning has the same form', () => {
  test('whatever the order of attributes and kvlist entries', () => {
    fc.assert(
      fc.property(entries, fc.infiniteStream(fc.nat()), (attributes, noise) => {
        const shuffled = shuffle(attributes, noise)
        expect(formOf({ attributes: shuffled })).toBe(formOf({ attributes }))
      }),
      { numRuns: 300 },
    )
  })

  test('through protobufjs, and through JSON', () => {
    fc.assert(
      fc.property(entries, entries, entries, (own, ofEvent, ofLink) => {
        const message = {
          ...span(3),
          attributes: own,
          events: [{ attributes: ofEvent }],
          links: [{ attributes: ofLink }],
        }
        const body = encode(request([message]))
        const forms = formsOf(body)
        expect(formsOf(encode(decode(body)))).toEqual(forms)
        expect(formsOf(jsonToProtobuf(Buffer.from(protobufToJson(body, 'traces')), 'traces'))).toEqual(forms)
      }),
      { numRuns: 200 },
    )
  })

  test('whatever the order of fields in the span, also with the scope behind its spans', () => {
    const body = encode({ resourceSpans: [{ scopeSpans: [{ spans: [span(1)] }] }] })
    const spanBytes = contentOf(contentOf(contentOf(body, 0x0a), 0x12), 0x12)
    const fields = fieldsOf(spanBytes)
    const scope = frame(0x0a, Buffer.from('0a036c6962', 'hex'))
    const resource = frame(0x0a, frame(0x0a, Buffer.from('0a0c736572766963652e6e616d6512030a0178', 'hex')))
    const build = (parts: readonly Uint8Array[], isHeadLast: boolean): Uint8Array => {
      const spans = frame(0x12, Buffer.concat(parts))
      const group = frame(0x12, Buffer.concat(isHeadLast ? [spans, scope] : [scope, spans]))
      return frame(0x0a, Buffer.concat(isHeadLast ? [group, resource] : [resource, group]))
    }
    const [expected] = formsOf(build(fields, false))
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat()), fc.boolean(), (noise, isHeadLast) => {
        // Events keep their order among themselves, as they mean it; everything else moves.
        const isEvent = (field: Uint8Array): boolean => field[0] === 0x5a
        const events = fields.filter(isEvent)
        const moved = shuffle(fields, noise).map((field) => (isEvent(field) ? events.shift()! : field))
        expect(formsOf(build(moved, isHeadLast))).toEqual([expected])
      }),
      { numRuns: 100 },
    )
  })
})

describe('another meaning has another form', () => {
  test('for any two lists of attributes that differ in more than order', () => {
    fc.assert(
      fc.property(entries, entries, (left, right) => {
        expect(formOf({ attributes: left }) === formOf({ attributes: right })).toBe(
          JSON.stringify(meaning(left)) === JSON.stringify(meaning(right)),
        )
      }),
      { numRuns: 300 },
    )
  })

  test.each<[name: string, left: Message, right: Message]>([
    ['a boundary between key and value', attribute('ab', 'c'), attribute('a', 'bc')],
    ['a string and bytes', attribute('a', 'x'), attribute('a', { bytesValue: Buffer.from('x') })],
    ['an empty string and nothing', attribute('a', ''), { key: 'a' }],
    [
      'an empty array and an empty kvlist',
      attribute('a', { arrayValue: {} }),
      attribute('a', { kvlistValue: {} }),
    ],
    [
      'a list in a list',
      attribute('a', array(array({ boolValue: true }))),
      attribute('a', array({ boolValue: true })),
    ],
    ['int 1 and true', attribute('a', { intValue: 1 }), attribute('a', true)],
  ])('%s', (_name, left, right) => {
    expect(formOf({ attributes: [left] })).not.toBe(formOf({ attributes: [right] }))
  })

  test('an attribute moved from the span to its event, from one event to the next, or to a link', () => {
    const [a, none]: [Message[], Message[]] = [[attribute('a', 'x')], []]
    const forms = [
      { attributes: a, events: [{}, {}], links: [{}] },
      { events: [{ attributes: a }, {}], links: [{}] },
      { events: [{ attributes: none }, { attributes: a }], links: [{}] },
      { events: [{}, {}], links: [{ attributes: a }] },
    ].map(formOf)
    expect(new Set(forms).size).toBe(4)
  })

  function array(...values: Message[]): Message {
    return { arrayValue: { values } }
  }
})

test.each<[name: string, left: Message, right: Message]>([
  ['minus zero and zero', { doubleValue: -0 }, { doubleValue: 0 }],
  ['no value and an empty one', undefined, {}],
])('folded, since transports lose it: %s', (_name, left, right) => {
  expect(formOf({ attributes: [{ key: 'a', value: left }] })).toBe(
    formOf({ attributes: [{ key: 'a', value: right }] }),
  )
})

test('every NaN is the same NaN, and no number is one', () => {
  const bits = (text: string): string => {
    const double = Buffer.from(text, 'hex').reverse()
    const value = frame(0x12, Buffer.concat([Uint8Array.of(0x21), double]))
    return formsOf(frame(0x0a, frame(0x12, frame(0x12, frame(0x4a, value)))))[0]!
  }
  const canonical = bits('7ff8000000000000')
  for (const each of ['7ff0000000000001', 'fff8000000000000', '7fffffffffffffff', 'fff0000000000100']) {
    expect(bits(each)).toBe(canonical)
  }
  for (const each of [
    '7ff0000000000000',
    'fff0000000000000',
    '7fe8000000000000',
    '7f78000000000000',
    '3ff8000000000000',
  ]) {
    expect(bits(each)).not.toBe(canonical)
  }
})

test('many attributes, many of them with equal keys, are sorted as few are', () => {
  const many = Array.from({ length: 500 }, (_, i) => attribute(`k${i % 50}`, `v${(i * 7919) % 500}`))
  const form = formOf({ attributes: many })
  expect(formOf({ attributes: many.toReversed() })).toBe(form)
  expect(formOf({ attributes: many.slice(1) })).not.toBe(form)
})

test('a value nested 40 deep is read, one deeper than protobuf runtimes read is refused', () => {
  const nested = (levels: number): Uint8Array => {
    let value: Uint8Array = Uint8Array.of(0x18, 1)
    for (let i = 0; i < levels; i++) value = frame(0x2a, frame(0x0a, value))
    return frame(0x0a, frame(0x12, frame(0x12, frame(0x4a, frame(0x12, value)))))
  }
  expect(formsOf(nested(40))[0]).toContain('0500000001'.repeat(40))
  for (const levels of [64, 90, 500]) {
    expect(() => formsOf(nested(levels))).toThrow(expect.objectContaining({ code: 'TOO_DEEP' }))
  }
})

test.each<[glob: string, yes: string[], no: string[]]>([
  ['a.b', ['a.b'], ['a.bc', 'xa.b', 'axb', '']],
  ['a.*', ['a.', 'a.b', 'a.b.c'], ['a', 'ba.']],
  ['*', ['', 'x'], []],
  ['*.id', ['.id', 'a.id', 'a.id.id'], ['a.id.', 'id']],
  ['a*b*c', ['abc', 'aXbYc', 'abbcc'], ['acb', 'ab']],
  ['', [''], ['x']],
  ['**', ['', 'xyz'], []],
])('the glob %j takes whole keys only', (glob, yes, no) => {
  const globs = new StarGlobs([glob])
  const match = (key: string): boolean =>
    globs.match(Buffer.from(`..${key}..`), 2, 2 + Buffer.byteLength(key))
  expect(yes.map(match)).toEqual(yes.map(() => true))
  expect(no.map(match)).toEqual(no.map(() => false))
})

/** What a list of attributes means, in a form of our own making: sorted, doubles folded. */
function meaning(list: readonly Message[]): string[] {
  return list.map(({ key, value }) => JSON.stringify([key, valueMeaning(value)])).sort()
}

function valueMeaning(value: Message): unknown {
  const [[name, inner] = ['nothing', 0]] = Object.entries<Message>(value)
  if (name === 'arrayValue') return [name, inner.values.map(valueMeaning)]
  if (name === 'kvlistValue') return [name, meaning(inner.values)]
  if (name === 'bytesValue') return [name, hex(inner)]
  if (name === 'doubleValue') return [name, inner === 0 ? '0' : String(inner)]
  return [name, inner]
}

function shuffle<T>(items: readonly T[], noise: Iterable<number>): T[] {
  const random = noise[Symbol.iterator]()
  return items
    .map((item) => [random.next().value as number, item] as const) // the stream never ends
    .sort(([a], [b]) => a - b)
    .map(([, item]) => shuffleInside(item))
}

function shuffleInside<T>(item: T): T {
  const { value } = item as Message
  if (value?.kvlistValue === undefined) return item
  return {
    ...item,
    value: { kvlistValue: { values: value.kvlistValue.values.toReversed().map(shuffleInside) } },
  }
}

function frame(tag: number, content: Uint8Array): Uint8Array {
  const { length } = content
  const head = length < 128 ? [tag, length] : [tag, (length & 0x7f) | 0x80, length >> 7]
  return Buffer.concat([Uint8Array.from(head), content])
}

/** Content of the first field with this tag. */
function contentOf(buf: Uint8Array, tag: number): Uint8Array {
  const found = fieldsOf(buf).find((field) => field[0] === tag)!
  return found.subarray(found[1]! < 128 ? 2 : 3)
}

/** The fields of a message, whole; tags of one byte, but 16 and above of two. */
function fieldsOf(buf: Uint8Array): Uint8Array[] {
  const fields: Uint8Array[] = []
  for (let pos = 0; pos < buf.length; ) {
    const start = pos
    const wireType = buf[pos]! & 7
    pos += buf[pos]! < 128 ? 1 : 2
    if (wireType === 0) while (buf[pos++]! >= 128);
    else if (wireType === 1) pos += 8
    else if (wireType === 5) pos += 4
    else {
      let length = buf[pos++]!
      if (length >= 128) length = (length & 0x7f) | (buf[pos++]! << 7)
      pos += length
    }
    fields.push(buf.subarray(start, pos))
  }
  return fields
}
