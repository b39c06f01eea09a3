// Bodies of up to 64 MiB, each the most of something: of what is read, left out, mended, changed, sealed, signed, checked.

import { Writer } from '../../src/wire/write.ts'
import { inside, times } from '../unit/wire/shapes.ts'

export interface WorstBody {
  readonly type: 'application/x-protobuf' | 'application/json'
  readonly make: () => Uint8Array
}

const MIB = 1024 * 1024
const SIZE = 63 * MIB
const SPANS_MAX = 16_384

const protobuf = (make: () => Uint8Array): WorstBody => ({ type: 'application/x-protobuf', make })
const json = (make: () => Uint8Array): WorstBody => ({ type: 'application/json', make })

/** A body in a buffer of its size from the start. */
const large = (write: (out: Writer) => void): Uint8Array => {
  const out = new Writer(SIZE + MIB)
  write(out)
  return out.finish()
}

const ids = (out: Writer, index: number): void => {
  const id = new Uint8Array(16)
  new DataView(id.buffer).setUint32(0, index + 1)
  out.bytes(1, id)
  out.bytes(2, id.subarray(0, 8))
}

/** An attribute whose value is a string, without a copy of the string. */
const attribute = (out: Writer, field: number, key: string, value: Uint8Array): void =>
  inside(out, field, () => {
    out.string(1, key)
    inside(out, 2, () => out.bytes(1, value))
  })

const bytes = (text: string): Uint8Array => Buffer.from(text)
const COMPLIANCE = bytes('AC-2')

const span = (out: Writer, index: number, write: () => void): void =>
  inside(out, 2, () => {
    ids(out, index)
    attribute(out, 9, 'compliance.control', COMPLIANCE)
    write()
  })

const oneGroup = (write: (out: Writer) => void): Uint8Array =>
  large((out) => inside(out, 1, () => inside(out, 2, () => write(out))))

/** A span that nothing selects. */
const plainSpan = (out: Writer, index: number, write: () => void): void =>
  inside(out, 2, () => {
    ids(out, index)
    write()
  })

/** As many spans as may be, signed, and each with as much text as fits. */
const signedSpans = (textBytes: number): Uint8Array => {
  const text = bytes('a'.repeat(textBytes))
  return oneGroup((out) => times(SPANS_MAX, (i) => span(out, i, () => attribute(out, 9, 'note', text))))
}

/** As many resources as may be, each with a signed span. */
const signedResources = (): Uint8Array =>
  large((out) =>
    times(SPANS_MAX, (i) =>
      inside(out, 1, () => {
        inside(out, 1, () => attribute(out, 1, 'service.name', bytes(`s${i}`)))
        inside(out, 2, () => span(out, i, () => attribute(out, 9, 'note', bytes('a'.repeat(3_000)))))
      }),
    ),
  )

/** Signatures from outside, none of which is good: all of them leave. */
const forgedSignatures = (): Uint8Array => {
  const proof = bytes(`v1.0.${'A'.repeat(400)}.${'A'.repeat(40)}.${'A'.repeat(43 * 14)}`)
  const signature = bytes('A'.repeat(86))
  return oneGroup((out) =>
    times(SPANS_MAX, (i) =>
      plainSpan(out, i, () => {
        attribute(out, 9, 'span.signature', signature)
        attribute(out, 9, 'span.signature.algorithm', bytes('ed25519-merkle-v1'))
        attribute(out, 9, 'span.signature.timestamp', bytes('1'))
        attribute(out, 9, 'span.signature.key_id', bytes('A'.repeat(22)))
        attribute(out, 9, 'span.signature.proof', proof)
        times(16, () => attribute(out, 9, 'span.signature.more', signature))
      }),
    ),
  )
}

/** Values, each of which is sealed whole or in part, until the memory of changes is at its end. */
const sealedValues = (key: string, text: string, perSpan: number, spans: number): Uint8Array => {
  const value = bytes(text)
  return oneGroup((out) =>
    times(spans, (i) => plainSpan(out, i, () => times(perSpan, () => attribute(out, 9, key, value)))),
  )
}

/** Names that are no UTF-8 and belong to no item, so that they are mended. */
const mendedNames = (): Uint8Array => {
  const key = Uint8Array.of(0xff, 0x62)
  return large((out) =>
    times(16_000, (i) =>
      inside(out, 1, () => {
        inside(out, 1, () => times(24, () => inside(out, 1, () => out.bytes(1, key))))
        inside(out, 2, () => inside(out, 2, () => ids(out, i)))
      }),
    ),
  )
}

/** Fields that our schema does not know, with something in each that has to go. */
const unknownFields = (): Uint8Array => {
  const text = bytes('someone@example.com')
  return oneGroup((out) =>
    times(SPANS_MAX, (i) => plainSpan(out, i, () => times(60, () => out.bytes(900, text)))),
  )
}

/** Values of the longest that is searched, of nothing but one character. */
const longValues = (text: string): Uint8Array => {
  const value = Buffer.alloc(4 * MIB - 1, text)
  return oneGroup((out) => times(15, (i) => plainSpan(out, i, () => attribute(out, 9, 'note', value))))
}

/** One attribute list with as many keys as may be, all equal but for their end, in a signed span. */
const equalKeys = (): Uint8Array =>
  oneGroup((out) =>
    times(12, (i) =>
      span(out, i, () =>
        times(100_000, (j) => attribute(out, 9, `key.of.some.length.${j % 7}`, bytes(`${j % 1_000}`))),
      ),
    ),
  )

const BAD = Uint8Array.of(0x61, 0xff, 0x62)

/** Text that is no UTF-8 in every span, which is left out then. */
const invalidSpans = (): Uint8Array =>
  oneGroup((out) =>
    times(SPANS_MAX - 1, (i) =>
      span(out, i, () => {
        out.bytes(5, BAD)
        times(200, () => inside(out, 9, () => out.bytes(1, BAD)))
      }),
    ),
  )

/** Attributes whose value stands in front of their key, so that edits do not come in the order of their places. */
const valuesBeforeKeys = (): Uint8Array => {
  const value = bytes('someone@example.com and 4111 1111 1111 1111, '.repeat(4))
  return oneGroup((out) =>
    times(8_000, (i) =>
      inside(out, 2, () => {
        times(6, () =>
          inside(out, 9, () => {
            inside(out, 2, () => out.bytes(1, value))
            out.string(1, 'user.note')
          }),
        )
        ids(out, i)
      }),
    ),
  )
}

const repeated = (head: string, token: string, tail: string): Uint8Array => {
  const body = Buffer.alloc(SIZE)
  const headBytes = body.write(head, 0)
  const count = Math.floor((SIZE - headBytes - tail.length) / token.length)
  const end = headBytes + count * token.length
  body.fill(token, headBytes, end)
  return body.subarray(0, end - 1 + body.write(tail, end - 1)) // over the last comma
}

const SPAN_HEAD = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":['
const SPAN_TAIL = ']}]}]}]}'

const escapes = (): Uint8Array =>
  Buffer.from(`{"x":"${String.raw`\u0041`.repeat(Math.floor(SIZE / 6) - 10)}"}`)

const jsonSpans = (): Uint8Array => {
  const text = 'a'.repeat(3_600)
  const spans = Array.from({ length: SPANS_MAX }, (_, i) => {
    const id = (i + 1).toString(16).padStart(16, '0')
    const attributes = [
      { key: 'compliance.control', value: { stringValue: 'AC-2' } },
      { key: 'note', value: { stringValue: text } },
    ]
    return JSON.stringify({ traceId: id + id, spanId: id, name: 'n', attributes })
  })
  return Buffer.from(`{"resourceSpans":[{"scopeSpans":[{"spans":[${spans.join(',')}]}]}]}`)
}

export const WORST_BODIES: Readonly<Record<string, WorstBody>> = {
  'spans that are no utf-8': protobuf(invalidSpans),
  'values in front of keys': protobuf(valuesBeforeKeys),
  'signed spans': protobuf(() => signedSpans(3_800)),
  'small signed spans': protobuf(() => signedSpans(1)),
  'signed resources': protobuf(signedResources),
  'forged signatures': protobuf(forgedSignatures),
  'values that are sealed whole': protobuf(() => sealedValues('password', 'x'.repeat(60), 30, 16_000)),
  'addresses that are sealed': protobuf(() =>
    sealedValues('note', `a@example.com ${'x'.repeat(60)}`, 20, 16_000),
  ),
  'many addresses in each value': protobuf(() =>
    sealedValues('note', `a@example.com ${'x '.repeat(60)}`.repeat(1_000), 1, 450),
  ),
  'names that are mended': protobuf(mendedNames),
  'unknown fields with addresses': protobuf(unknownFields),
  'long values of @': protobuf(() => longValues('@')),
  'long values of digits': protobuf(() => longValues('4')),
  'long values of colons': protobuf(() => longValues('::')),
  'long values of names': protobuf(() => longValues('name=')),
  'keys that are nearly equal': protobuf(equalKeys),
  'json: empty objects': json(() => repeated(SPAN_HEAD, '{},', SPAN_TAIL)),
  'json: numbers under an unknown key': json(() => repeated('{"x":[', '0,', ']}')),
  'json: one string of escapes': json(escapes),
  'json: signed spans': json(jsonSpans),
  'json: brackets under an unknown key': json(() => repeated('{"x":[', '[],', ']}')),
}
