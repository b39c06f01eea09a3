// Bodies as they come: in pieces, perhaps compressed, perhaps endless. What is held is counted against the lease before
// it is held, and inflation stops at the limit, so a bomb costs one piece more than an honest request of that size.
import type { Readable } from 'node:stream'
import { constants, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import { SidecarError } from '../base/errors.ts'
import type { Lease } from './admission.ts'

/** Content codings that we read, as `Accept-Encoding` lists them. `deflate` is the zlib format (RFC 9110 §8.4.1.2). */
export const ENCODINGS = ['identity', 'gzip', 'deflate', 'zstd'] as const
export type Encoding = (typeof ENCODINGS)[number]

const INFLATE_CHUNK_BYTES = 64 * 1024
/** Of a body of unknown size, and at most of one whose size is declared: the buffer that its first bytes get. */
const BUFFER_BYTES_FIRST = 64 * 1024
const BUFFER_BYTES_FIRST_MAX = 1024 * 1024
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
 * somebody reuses. Rejects TOO_LARGE, MALFORMED, as `lease.grow`, or with the reason of `abort`; the source is then left
 * as it stands.
 */
export async function readBody(
  source: Readable,
  encoding: Encoding,
  bounds: BodyBounds,
  lease: Lease,
  abort: AbortSignal,
): Promise<Uint8Array> {
  if (encoding !== 'identity') return inflate(source, encoding, bounds.bytesMax, lease, abort)
  const pieces = new Pieces(bounds, lease)
  await readAll(source, pieces, abort)
  return pieces.join()
}

async function inflate(
  source: Readable,
  encoding: Encoding,
  bytesMax: number,
  lease: Lease,
  abort: AbortSignal,
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
    await readAll(inflater, pieces, abort)
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

// Not by the stream's iterator: that one cannot be left while it waits for bytes, and a body that has stopped must be.
function readAll(source: Readable, pieces: Pieces, abort: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    // A stream ends as soon as its last piece was taken from it, be it kept or still waiting for memory.
    let isWaiting = false
    let isEnded = false
    const leave = (): void => {
      source.off('readable', onReadable).off('end', onEnd).off('error', onFailed).off('close', onFailed)
      abort.removeEventListener('abort', onAbort)
    }
    const fail = (error: unknown): void => {
      leave()
      reject(bodyFault(error))
    }
    const onFailed = (error?: Error): void => {
      if (!isEnded) fail(error)
    }
    const onAbort = (): void => fail(abort.reason)
    const onEnd = (): void => {
      isEnded = true
      if (isWaiting) return
      leave()
      resolve()
    }
    const onKept = (): void => {
      isWaiting = false
      if (isEnded) onEnd()
      else onReadable()
    }
    const onReadable = (): void => {
      if (isWaiting) return
      try {
        for (let chunk = source.read(); chunk !== null; chunk = source.read()) {
          const waiting = pieces.add(chunk as Uint8Array)
          if (waiting === undefined) continue
          isWaiting = true
          waiting.then(onKept, fail)
          return
        }
      } catch (error) {
        fail(error)
      }
    }
    if (abort.aborted) return onAbort()
    abort.addEventListener('abort', onAbort)
    source.on('readable', onReadable).on('end', onEnd).on('error', onFailed).on('close', onFailed)
    if (source.readableEnded) onEnd()
    else if (source.destroyed) onFailed()
  })
}

function bodyFault(error: unknown): SidecarError {
  if (error instanceof SidecarError) return error
  return new SidecarError('MALFORMED', 'body does not decompress or ended early', { cause: error })
}

/**
 * Collects pieces under a bound, in one buffer: a list of them would let a client that sends single bytes cost us a
 * hundred times what is accounted. It is made with the first bytes and grows; pages that nobody wrote take no memory, so
 * what is too large is not paid for before it is used.
 */
class Pieces {
  readonly #bounds: BodyBounds
  readonly #lease: Lease
  readonly #leaseBytesBefore: number
  readonly #bytesIn: (() => number) | undefined
  #buffer = new Uint8Array(0)
  #bytes = 0

  /** `bytesIn`: compressed bytes so far. What inflates comes on top of what the lease holds for them. */
  constructor(bounds: BodyBounds, lease: Lease, bytesIn?: () => number) {
    this.#bounds = bounds
    this.#lease = lease
    this.#leaseBytesBefore = bytesIn ? lease.bytes : 0
    this.#bytesIn = bytesIn
  }

  /** Resolves when there is room for the chunk and it is kept; `undefined` when it is already. Throws TOO_LARGE. */
  add(chunk: Uint8Array): Promise<void> | undefined {
    const bytes = this.#bytes + chunk.byteLength
    const { bytesMax, bytesDeclared } = this.#bounds
    if (bytes > (bytesDeclared ?? bytesMax)) throw tooLarge()
    if (this.#bytesIn && bytes > RATIO_FREE_BYTES && bytes > this.#bytesIn() * RATIO_MAX) throw tooLarge()
    const missing = this.#leaseBytesBefore + bytes - this.#lease.bytes
    if (missing > 0 && !this.#lease.tryGrow(missing))
      return this.#lease.grow(missing).then(() => this.#keep(chunk, bytes))
    this.#keep(chunk, bytes)
    return undefined
  }

  #keep(chunk: Uint8Array, bytes: number): void {
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
    const { bytesMax, bytesDeclared } = this.#bounds
    // Who has sent this much of what was declared gets all of it: one copy, and pages that nobody wrote take no memory.
    const isFirst = this.#bytes < BUFFER_BYTES_FIRST_MAX
    const declared = isFirst ? Math.min(bytesDeclared ?? 0, BUFFER_BYTES_FIRST_MAX) : (bytesDeclared ?? 0)
    const wanted = Math.max(bytes, declared, BUFFER_BYTES_FIRST, 2 * this.#buffer.byteLength)
    const larger = new Uint8Array(Math.min(bytesDeclared ?? bytesMax, wanted))
    larger.set(this.#buffer.subarray(0, this.#bytes))
    this.#buffer = larger
  }
}

function tooLarge(): SidecarError {
  return new SidecarError('TOO_LARGE', 'request body is larger than the limit')
}
