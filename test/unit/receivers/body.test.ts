import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { constants, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { SidecarError } from '../../../src/base/errors.ts'
import { Admission } from '../../../src/receivers/admission.ts'
import { type Encoding, parseEncoding, readBody } from '../../../src/receivers/body.ts'

const MIB = 1024 * 1024
const COMPRESS = { gzip: gzipSync, deflate: deflateSync, zstd: zstdCompressSync } as const
const CODINGS = Object.keys(COMPRESS) as (keyof typeof COMPRESS)[]
const NEVER = new AbortController().signal

interface Reading {
  readonly encoding?: Encoding
  readonly bytesMax?: number
  readonly bytesDeclared?: number
  readonly budget?: number
}

async function read(pieces: Uint8Array[], reading: Reading = {}) {
  const admission = new Admission({ bytesMax: reading.budget ?? 64 * MIB, waitingMax: 1 }, systemClock)
  const lease = admission.open(systemClock.monotonicMs() + 50, NEVER)
  const bounds = { bytesMax: reading.bytesMax ?? MIB, bytesDeclared: reading.bytesDeclared }
  try {
    const body = await readBody(Readable.from(pieces), reading.encoding ?? 'identity', bounds, lease, NEVER)
    return { body, code: 'OK', bytesPeak: lease.bytes }
  } catch (error) {
    return {
      body: new Uint8Array(0),
      code: error instanceof SidecarError ? error.code : String(error),
      bytesPeak: lease.bytes,
    }
  } finally {
    lease.release()
  }
}

const cut = (bytes: Uint8Array, size: number): Uint8Array[] =>
  Array.from({ length: Math.ceil(bytes.byteLength / size) }, (_, at) =>
    bytes.subarray(at * size, (at + 1) * size),
  )

describe('the limit', () => {
  test.each([
    [0, 'OK'],
    [1, 'OK'],
    [999, 'OK'],
    [1_000, 'OK'],
    [1_001, 'TOO_LARGE'],
  ])('of 1,000 bytes: %i is %s, plain and declared', async (size, code) => {
    const bytes = Buffer.alloc(size, 7)
    expect((await read([bytes], { bytesMax: 1_000 })).code).toBe(code)
    expect((await read(cut(bytes, 100), { bytesMax: 1_000 })).code).toBe(code)
    for (const encoding of CODINGS) {
      expect((await read([COMPRESS[encoding](bytes)], { bytesMax: 1_000, encoding })).code).toBe(code)
    }
  })

  test('counts compressed bytes as well', async () => {
    const stored = gzipSync(Buffer.alloc(990, 1), { level: 0 })
    expect(stored.byteLength).toBeGreaterThan(1_000)
    expect((await read([stored], { encoding: 'gzip', bytesMax: 1_000 })).code).toBe('TOO_LARGE')
  })

  test.each([
    ['short', 5, 'MALFORMED'],
    ['exact', 4, 'OK'],
    ['long', 3, 'TOO_LARGE'],
  ])('a body that is %s of what was declared', async (_name, bytesDeclared, code) => {
    expect((await read([Buffer.from('abcd')], { bytesDeclared })).code).toBe(code)
  })
})

describe('compressed', () => {
  test('any bytes in any pieces come back, in every coding', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 5_000 }),
        fc.integer({ min: 1, max: 700 }),
        async (bytes, size) => {
          for (const encoding of CODINGS) {
            const { body, code } = await read(cut(COMPRESS[encoding](bytes), size), { encoding })
            expect(code).toBe('OK')
            expect(Buffer.compare(body, bytes)).toBe(0)
          }
        },
      ),
      { numRuns: 40 },
    )
  })

  const plain = Buffer.from('the quick brown fox jumps over the lazy dog '.repeat(100))
  test.each(CODINGS)('%s cut off anywhere is MALFORMED', async (encoding) => {
    const whole = COMPRESS[encoding](plain)
    for (const length of [0, 1, 5, 10, whole.byteLength >> 1, whole.byteLength - 4, whole.byteLength - 1]) {
      const { code } = await read([whole.subarray(0, length)], { encoding })
      expect(`${length}: ${code}`).toBe(`${length}: MALFORMED`)
    }
  })

  test.each(CODINGS)('%s that is something else is MALFORMED', async (encoding) => {
    expect((await read([plain], { encoding })).code).toBe('MALFORMED')
  })

  test.each(['gzip', 'zstd'] as const)('a damaged %s checksum is MALFORMED', async (encoding) => {
    const whole =
      encoding === 'gzip'
        ? gzipSync(plain)
        : zstdCompressSync(plain, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })
    whole[whole.byteLength - (encoding === 'gzip' ? 6 : 1)]! ^= 1
    expect((await read([whole], { encoding })).code).toBe('MALFORMED')
  })

  test.each(CODINGS)('a %s bomb of 64 MiB stops at the limit and is never held', async (encoding) => {
    const bomb = COMPRESS[encoding](Buffer.alloc(64 * MIB))
    const { code, bytesPeak } = await read([bomb], { encoding, bytesMax: 2 * MIB })
    expect(code).toBe('TOO_LARGE')
    expect(bytesPeak).toBeLessThanOrEqual(2 * MIB)
  })

  test('a ratio that no telemetry has stops long before the limit', async () => {
    const { code, bytesPeak } = await read([zstdCompressSync(Buffer.alloc(48 * MIB))], {
      encoding: 'zstd',
      bytesMax: 64 * MIB,
    })
    expect(code).toBe('TOO_LARGE')
    expect(bytesPeak).toBeLessThan(8 * MIB)
  })

  // RFC 8878 §3.1.1: magic, a descriptor without content size, the window as 2^(10+exponent), one empty last block.
  test.each([
    [8 * MIB, 13, 'OK'],
    [16 * MIB, 14, 'MALFORMED'],
    [128 * MIB, 17, 'MALFORMED'],
  ])('a zstd frame that asks for a window of %i bytes (2^(10+%i)) is %s', async (_bytes, exponent, code) => {
    const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, exponent << 3, 0x01, 0x00, 0x00])
    expect((await read([frame], { encoding: 'zstd' })).code).toBe(code)
  })

  test('inflation waits for memory, and is refused when there is none', async () => {
    const { code } = await read([gzipSync(Buffer.alloc(100_000))], { encoding: 'gzip', budget: 50_000 })
    expect(code).toBe('TOO_LARGE')
  })
})

describe('memory that has to be waited for', () => {
  // A stream ends once its last piece was taken, also when that piece still waits for memory.
  const CASES = (['identity', ...CODINGS] as const).flatMap((encoding) => [
    { encoding, isDeclared: false },
    ...(encoding === 'identity' ? [{ encoding, isDeclared: true }] : []),
  ])

  test.each(CASES)(
    'at any piece: the body is whole ($encoding, declared: $isDeclared)',
    async ({ encoding, isDeclared }) => {
      await fc.assert(
        fc.asyncProperty(
          fc.uint8Array({ minLength: 1, maxLength: 2_000 }),
          fc.integer({ min: 1, max: 2_500 }),
          fc.nat(),
          async (bytes, size, at) => {
            const wire = encoding === 'identity' ? bytes : COMPRESS[encoding](bytes)
            const admission = new Admission({ bytesMax: 2_000, waitingMax: 2 }, systemClock)
            const deadlineMs = systemClock.monotonicMs() + 10_000
            // Leaves room for a part of the body only, so that some piece waits: the first, a middle or the last one.
            const other = admission.open(deadlineMs, NEVER)
            await other.grow(2_000 - (at % bytes.byteLength))
            const lease = admission.open(deadlineMs, NEVER)
            const bounds = { bytesMax: MIB, bytesDeclared: isDeclared ? bytes.byteLength : undefined }
            const reading = readBody(Readable.from(cut(wire, size)), encoding, bounds, lease, NEVER)
            await expect.poll(() => admission.waitingCount, { interval: 1 }).toBe(1)
            // Everything that the stream has to say meanwhile is said.
            for (let turn = 0; turn < 5; turn++) await nextTurn()
            other.release()
            expect(Buffer.compare(await reading, bytes)).toBe(0)
            expect(lease.bytes).toBe(bytes.byteLength)
          },
        ),
        { numRuns: 30 },
      )
    },
  )

  test.each(CASES)(
    'until none comes: OVERLOADED, never MALFORMED ($encoding, declared: $isDeclared)',
    async ({ encoding, isDeclared }) => {
      const bytes = Buffer.alloc(1_000, 7)
      const wire = encoding === 'identity' ? bytes : COMPRESS[encoding](bytes)
      for (const size of [1_000, 300]) {
        const admission = new Admission({ bytesMax: 2_000, waitingMax: 2 }, systemClock)
        const deadlineMs = systemClock.monotonicMs() + 50
        const other = admission.open(deadlineMs, NEVER)
        await other.grow(1_001)
        const lease = admission.open(deadlineMs, NEVER)
        const bounds = { bytesMax: MIB, bytesDeclared: isDeclared ? 1_000 : undefined }
        const reading = readBody(Readable.from(cut(wire, size)), encoding, bounds, lease, NEVER)
        await expect(reading).rejects.toMatchObject({ code: 'OVERLOADED' })
      }
    },
  )
})

test('a body of single bytes costs one buffer', async () => {
  const { body, code, bytesPeak } = await read(
    Array.from({ length: 200_000 }, (_, at) => Uint8Array.of(at & 0xff)),
  )
  expect([code, body.byteLength, bytesPeak]).toEqual(['OK', 200_000, 200_000])
  expect(body.buffer.byteLength).toBeLessThanOrEqual(2 * 200_000)
  expect(body.every((byte, at) => byte === (at & 0xff))).toBe(true)
})

test('the result shares no memory with what came in', async () => {
  const pool = Buffer.from('secret of another request|body')
  const piece = pool.subarray(26)
  for (const bytesDeclared of [undefined, 4]) {
    const { body } = await read([piece], bytesDeclared === undefined ? {} : { bytesDeclared })
    expect(Buffer.from(body).toString()).toBe('body')
    const around = new Uint8Array(body.buffer).fill(0, body.byteOffset, body.byteOffset + body.byteLength)
    expect(around.every((byte) => byte === 0)).toBe(true)
  }
})

test.each([
  [undefined, 'identity'],
  ['', 'identity'],
  ['identity', 'identity'],
  ['GZip', 'gzip'],
  ['x-gzip', 'gzip'],
  [' zstd ', 'zstd'],
  ['deflate', 'deflate'],
])('content encoding %j is %s', (header, expected) => {
  expect(parseEncoding(header)).toBe(expected)
})

test.each([['snappy'], ['br'], ['gzip, gzip'], ['gzip;q=1'], ['__proto__']])(
  'content encoding %j is refused',
  (header) => {
    expect(() => parseEncoding(header)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_ENCODING' }))
  },
)
