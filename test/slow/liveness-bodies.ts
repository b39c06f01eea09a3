// Bodies of up to 64 MiB that are read in slices. Not among them are those whose changes, names to mend or signed spans are
// the most that fit: putting those in still holds the event loop for up to two seconds (SECURITY.md).

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
    times(10_000, (i) =>
      inside(out, 2, () => {
        times(20, () =>
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

export const WORST_BODIES: Readonly<Record<string, WorstBody>> = {
  'spans that are no utf-8': protobuf(invalidSpans),
  'values in front of keys': protobuf(valuesBeforeKeys),
  'json: empty objects': json(() => repeated(SPAN_HEAD, '{},', SPAN_TAIL)),
  'json: numbers under an unknown key': json(() => repeated('{"x":[', '0,', ']}')),
  'json: brackets under an unknown key': json(() => repeated('{"x":[', '[],', ']}')),
}
