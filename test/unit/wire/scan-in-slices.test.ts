// A scan in slices hears, edits and refuses what a scan in one go does, wherever the slices are cut.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import {
  EVENTS_PER_REQUEST_MAX,
  GROUPS_PER_REQUEST_MAX,
  VALUES_OF_ONE_MAX,
} from '../../../src/base/limits.ts'
import { Edits } from '../../../src/wire/edits.ts'
import type { Signal } from '../../../src/wire/otlp.ts'
import { CHECKED, REQUEST_BOUNDS, scan } from '../../../src/wire/scan.ts'
import { scanInSlices } from '../../../src/wire/scan-in-slices.ts'
import { splice } from '../../../src/wire/splice.ts'
import { request } from './arbitrary.ts'
import { encode } from './oracle.ts'
import { field, idle, Recorder, spanRequest } from './recorder.ts'

const seed = Number(process.env.FC_SEED ?? 20_261_201)
console.info(`scan in slices: FC_SEED=${seed}`)
const signals: Signal[] = ['traces', 'logs', 'metrics']

/** Changes every key and scalar, so that every frame around one is recorded. */
class Editing extends Recorder {
  readonly edits = new Edits()
  override attribute(...at: Parameters<Recorder['attribute']>): boolean {
    const [, , fieldStart, end, keyStart, keyEnd] = at
    if (end % 5 === 0) this.edits.remove(fieldStart, end)
    else this.edits.replace(keyStart, keyEnd, Uint8Array.of(0x6b))
    return super.attribute(...at) || end % 5 === 0
  }
  unknown(wireType: number, start: number, end: number): void {
    this.lines.push(`unknown ${wireType} ${start}-${end}`)
  }
}

interface Heard {
  readonly lines: readonly string[]
  readonly body: Uint8Array
  readonly doubts: number
}

function hear(buf: Uint8Array, read: (visitor: Editing) => number): Heard | 'refused' {
  const visitor = new Editing(buf, (key) => key.length % 3 === 0)
  let doubts: number
  try {
    doubts = read(visitor)
  } catch (thrown) {
    if (thrown instanceof SidecarError) return 'refused'
    throw thrown
  }
  return { lines: visitor.lines, body: splice(buf, visitor.edits), doubts }
}

const atOnce = (buf: Uint8Array, signal: Signal): Heard | 'refused' =>
  hear(buf, (visitor) => scan(buf, signal, visitor, visitor.edits, CHECKED))

function inSlices(buf: Uint8Array, signal: Signal, sliceBytes: number): Heard | 'refused' {
  return hear(buf, (visitor) => {
    const slices = scanInSlices(buf, signal, visitor, visitor.edits, CHECKED, sliceBytes)
    for (;;) {
      const { done, value } = slices.next()
      if (done) return value
    }
  })
}

describe.each(signals)('%s', (signal) => {
  test('whatever is sent, and wherever it is cut', () => {
    fc.assert(
      fc.property(request[signal], fc.constantFrom(1, 2, 7, 40, 300), (message, sliceBytes) => {
        const buf = encode(signal, message)
        expect(inSlices(buf, signal, sliceBytes)).toEqual(atOnce(buf, signal))
      }),
      { seed, numRuns: 200 },
    )
  })

  test('also with damaged bytes', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(request[signal], damage, fc.constantFrom(1, 9), (message, changes, sliceBytes) => {
        const buf = encode(signal, message).slice()
        for (const [at, byte] of changes) if (buf.length > 0) buf[at % buf.length] = byte
        expect(inSlices(buf, signal, sliceBytes)).toEqual(atOnce(buf, signal))
      }),
      { seed, numRuns: 400 },
    )
  })
})

describe('bounds of a request', () => {
  const many = (count: number, bytes: Uint8Array): Uint8Array => {
    const out = new Uint8Array(count * bytes.length)
    for (let i = 0; i < count; i++) out.set(bytes, i * bytes.length)
    return out
  }
  const empty = (number: number): Uint8Array => Uint8Array.of((number << 3) | 2, 0)
  const cases: [string, (more: number) => Uint8Array][] = [
    ['resource groups', (more) => many(GROUPS_PER_REQUEST_MAX + more, empty(1))],
    ['scopes', (more) => field(1, many(GROUPS_PER_REQUEST_MAX + more, empty(2)))],
    ['events', (more) => spanRequest(many(EVENTS_PER_REQUEST_MAX + more, empty(11)))],
    ['links', (more) => spanRequest(many(EVENTS_PER_REQUEST_MAX + more, empty(13)))],
    ['attributes of one span', (more) => spanRequest(many(VALUES_OF_ONE_MAX + more, empty(9)))],
    ['attributes of one resource', (more) => field(1, field(1, many(VALUES_OF_ONE_MAX + more, empty(1))))],
    [
      'elements of one array',
      (more) => spanRequest(field(9, field(2, field(5, many(VALUES_OF_ONE_MAX - 1 + more, empty(1)))))),
    ],
  ]

  test.each(cases)('%s: as many as may be, and one more', (_name, body) => {
    const reads = [
      (buf: Uint8Array) => scan(buf, 'traces', idle, new Edits(), REQUEST_BOUNDS),
      (buf: Uint8Array) => {
        for (const _ of scanInSlices(buf, 'traces', idle, new Edits(), REQUEST_BOUNDS));
      },
    ]
    for (const read of reads) {
      read(body(0))
      expect(() => read(body(1))).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }))
    }
  })

  test('values of all spans together', () => {
    const span = field(2, many(VALUES_OF_ONE_MAX, empty(9)))
    const body = field(1, field(2, many(17, span)))
    expect(() => scan(body, 'traces', idle, new Edits(), REQUEST_BOUNDS)).toThrow(
      expect.objectContaining({ code: 'TOO_LARGE' }),
    )
    expect(() => scan(body, 'traces', idle)).not.toThrow()
  })
})
