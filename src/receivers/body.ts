// Bodies as they come: in pieces, perhaps compressed, perhaps endless. What is held is counted against the lease before
// it is held, and inflation stops at the limit, so a bomb costs one piece more than an honest request of that size.
import type { Readable } from 'node:stream'
import { constants, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import { SidecarError } from '../base/errors.ts'
import type { Lease } from './admission.ts'

/** Content codings that we read, as `Accept-Encoding` lists them. `deflate` is the zlib format (RFC 9110 §8.4.1.2). */
export const ENCODINGS = ['identity', 'gzip', 'deflate', 'zstd'] as const
export type Encoding = (typeof ENCODINGS)[number]

/**
 * Declared sizes are admitted up to this at once and more as it arrives, bytes. A few slow senders that declare much
 * would otherwise hold the memory of everybody.
 */
export const ADMIT_BYTES_STEP = 1024 * 1024

const INFLATE_CHUNK_BYTES = 64 * 1024
const BUFFER_BYTES_FIRST = 64 * 1024
// RFC 9659: a zstd window over HTTP is at most 8 MiB. The decoder would otherwise allocate 128 MiB for one header.
const ZSTD_WINDOW_LOG_MAX = 23
// gzip cannot exceed 1032, zstd can reach 100,000. Real telemetry of one repeated span stays under 200.
const RATIO_MAX = 500
const RATIO_FREE_BYTES = 4 * 1024 * 1024

/** Throws UNSUPPORTED_ENCODING. Absent and empty mean identity; names are case-insensitive. */
export function parseEncoding(header: string | undefined): Encoding {
  const name = header?.trim().toLowerCase() ?? ''
  if (name === '') return 'identity'
  if (name === 'x-gzip') return 'gzip'
  const known = ENCODINGS.find((encoding) => encoding === name)
  if (!known)
    throw new SidecarError(
      'UNSUPPORTED_ENCODING',
      'content encoding is not one of identity, gzip, deflate, zstd',
    )
  return known
}

export interface BodyBounds {
  /** Before and after decompression. */
  readonly bytesMax: number
  /** What the client says it will send, when it says so. */
  readonly bytesDeclared: number | undefined
}

/**
 * Reads a body to its end and decompresses it. The result is the caller's alone: no part of it lies in a buffer that
 * somebody reuses. Rejects TOO_LARGE, MALFORMED, or as `lease.grow`; the source is then left as it stands.
 */
export async function readBody(
  source: Readable,
  encoding: Encoding,
  bounds: BodyBounds,
  lease: Lease,
): Promise<Uint8Array> {
  if (encoding !== 'identity') return inflate(source, encoding, bounds.bytesMax, lease)
  const pieces = new Pieces(bounds, lease)
  await readAll(source, pieces)
  return pieces.join()
}

async function inflate(
  source: Readable,
  encoding: Encoding,
  bytesMax: number,
  lease: Lease,
): Promise<Uint8Array> {
  const inflater = createInflater(encoding)
  let bytesIn = 0
  const onData = (chunk: Uint8Array): void => {
    bytesIn += chunk.byteLength
    if (bytesIn > bytesMax) inflater.destroy(tooLarge())
  }
  const onError = (cause: Error): void => {
    inflater.destroy(new SidecarError('MALFORMED', 'body ended early', { cause }))
  }
  source.on('data', onData)
  source.once('error', onError)
  source.pipe(inflater)
  const pieces = new Pieces({ bytesMax, bytesDeclared: undefined }, lease, () => bytesIn)
  try {
    await readAll(inflater, pieces)
  } finally {
    source.unpipe(inflater)
    source.off('data', onData)
    source.off('error', onError)
    inflater.destroy()
  }
  return pieces.join()
}

function createInflater(
  encoding: Encoding,
): ReturnType<typeof createGunzip> | ReturnType<typeof createZstdDecompress> {
  switch (encoding) {
    case 'gzip':
      return createGunzip({ chunkSize: INFLATE_CHUNK_BYTES })
    case 'deflate':
      return createInflate({ chunkSize: INFLATE_CHUNK_BYTES })
    default:
      return createZstdDecompress({
        chunkSize: INFLATE_CHUNK_BYTES,
        params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
      })
  }
}

async function readAll(source: Readable, pieces: Pieces): Promise<void> {
  try {
    // Not destroyed on return: the source is the request whose socket still carries our answer.
    for await (const chunk of source.iterator({ destroyOnReturn: false }))
      await pieces.add(chunk as Uint8Array)
  } catch (error) {
    if (error instanceof SidecarError) throw error
    throw new SidecarError('MALFORMED', 'body does not decompress or ended early', { cause: error })
  }
}

/**
 * Collects pieces under a bound, in one buffer: a list of them would let a client that sends single bytes cost us a
 * hundred times what is accounted. Pages that nobody wrote take no memory, so neither a declared size that never comes
 * nor the doubling is paid for before it is used.
 */
class Pieces {
  readonly #bounds: BodyBounds
  readonly #lease: Lease
  readonly #leaseBytesBefore: number
  readonly #bytesIn: (() => number) | undefined
  #buffer: Uint8Array
  #bytes = 0

  /** `bytesIn`: compressed bytes so far. What inflates comes on top of what the lease holds for them. */
  constructor(bounds: BodyBounds, lease: Lease, bytesIn?: () => number) {
    this.#bounds = bounds
    this.#lease = lease
    this.#leaseBytesBefore = bytesIn ? lease.bytes : 0
    this.#bytesIn = bytesIn
    this.#buffer = new Uint8Array(bounds.bytesDeclared ?? Math.min(bounds.bytesMax, BUFFER_BYTES_FIRST))
  }

  async add(chunk: Uint8Array): Promise<void> {
    const bytes = this.#bytes + chunk.byteLength
    const { bytesMax, bytesDeclared } = this.#bounds
    if (bytes > (bytesDeclared ?? bytesMax)) throw tooLarge()
    if (this.#bytesIn && bytes > RATIO_FREE_BYTES && bytes > this.#bytesIn() * RATIO_MAX) throw tooLarge()
    const missing = this.#leaseBytesBefore + bytes - this.#lease.bytes
    if (missing > 0 && !this.#lease.tryGrow(missing)) await this.#lease.grow(missing)
    if (bytes > this.#buffer.byteLength) this.#enlarge(bytes)
    this.#buffer.set(chunk, this.#bytes)
    this.#bytes = bytes
  }

  join(): Uint8Array {
    const { bytesDeclared } = this.#bounds
    if (bytesDeclared !== undefined && this.#bytes < bytesDeclared) {
      throw new SidecarError('MALFORMED', 'body ended early')
    }
    return this.#buffer.subarray(0, this.#bytes)
  }

  #enlarge(bytes: number): void {
    const larger = new Uint8Array(
      Math.min(this.#bounds.bytesMax, Math.max(bytes, 2 * this.#buffer.byteLength)),
    )
    larger.set(this.#buffer.subarray(0, this.#bytes))
    this.#buffer = larger
  }
}

function tooLarge(): SidecarError {
  return new SidecarError('TOO_LARGE', 'request body is larger than the limit')
}
