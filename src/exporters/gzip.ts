import type { Writable } from 'node:stream'
import { createGzip } from 'node:zlib'

/** A compressed body, in the pieces that it came in. */
export interface Compressed {
  readonly pieces: readonly Uint8Array[]
  readonly bytes: number
}

const PIECE_BYTES = 64 * 1024

/**
 * Never joined, which would hold it twice. All of it is there before it is sent, since both protocols tell its length
 * first: gRPC has to, and over HTTP not every server takes a body without one.
 */
export async function gzipped(body: Uint8Array): Promise<Compressed> {
  const gzip = createGzip({ level: 1, chunkSize: Math.min(PIECE_BYTES, Math.max(1024, body.length)) })
  const pieces: Uint8Array[] = []
  let bytes = 0
  gzip.on('data', (piece: Buffer) => {
    pieces.push(piece)
    bytes += piece.length
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  gzip.on('end', resolve)
  gzip.on('error', reject)
  gzip.end(body)
  await promise
  return { pieces, bytes }
}

/** What is sent as it is. */
export const asOnePiece = (body: Uint8Array): Compressed => ({ pieces: [body], bytes: body.length })

/** The last piece with the end, which saves a frame of HTTP/2. */
export function sendAll(stream: Writable, pieces: readonly Uint8Array[]): void {
  for (const piece of pieces.slice(0, -1)) stream.write(piece)
  stream.end(pieces.at(-1))
}
