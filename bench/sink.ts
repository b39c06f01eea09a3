// The next hop of every measurement: takes OTLP traces over gRPC, says OK and counts. As a process of its own it
// answers `stats` and `sample` over the IPC channel; tests start it inside themselves.
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { countSpans } from './wire-walk.ts'

const WINDOW_BYTES = 16 * 1024 * 1024
const EMPTY_REPLY = Buffer.alloc(5)

export interface SinkStats {
  readonly requests: number
  readonly spans: number
  readonly bytes: number
}

export interface Sink {
  readonly port: number
  stats(): SinkStats
  /** The newest request body, or `undefined` before the first. */
  sample(): Uint8Array | undefined
  close(): Promise<void>
}

export interface SinkOptions {
  /** 0 or absent: any free port. */
  readonly port?: number
  /** Sees each body before OK is said; what it throws makes the answer UNAVAILABLE. */
  readonly onBody?: (body: Uint8Array) => void
}

export async function startSink(options: SinkOptions = {}): Promise<Sink> {
  let requests = 0
  let spans = 0
  let bytes = 0
  let last: Uint8Array | undefined
  const sessions = new Set<http2.ServerHttp2Session>()
  const server = http2.createServer({ settings: { initialWindowSize: WINDOW_BYTES } })
  server.on('session', (session) => {
    session.setLocalWindowSize(4 * WINDOW_BYTES)
    session.on('error', () => {})
    sessions.add(session)
    session.on('close', () => sessions.delete(session))
  })
  server.on('stream', (stream) => {
    const chunks: Buffer[] = []
    stream.on('error', () => {}) // the client went away; it counts nothing then
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => {
      const body = unframe(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks))
      try {
        options.onBody?.(body)
      } catch {
        answer(stream, 14)
        return
      }
      requests++
      spans += countSpans(body)
      bytes += body.length
      last = body
      answer(stream, 0)
    })
  })
  await new Promise<void>((done, fail) => {
    server.once('error', fail)
    server.listen(options.port ?? 0, '127.0.0.1', done)
  })
  return {
    port: (server.address() as AddressInfo).port, // a listening TCP server's address is never a path or null
    stats: () => ({ requests, spans, bytes }),
    sample: () => last,
    close: async () => {
      for (const session of sessions) session.destroy()
      await new Promise<void>((done) => server.close(() => done()))
    },
  }
}

function unframe(framed: Buffer): Uint8Array {
  const message = framed.subarray(5)
  return framed[0] === 1 ? gunzipSync(message) : message
}

function answer(stream: http2.ServerHttp2Stream, status: number): void {
  if (stream.destroyed) return
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(status) }))
  stream.end(status === 0 ? EMPTY_REPLY : undefined)
}

/** What a sink process answers; it says `ready` unasked. */
export type SinkMessage =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'stats'; readonly stats: SinkStats }
  | { readonly kind: 'sample'; readonly base64: string }

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const sink = await startSink({ port: Number(process.argv[2] ?? 0) })
  const say = (message: SinkMessage) => process.send?.(message)
  process.on('message', (asked) => {
    if (asked === 'stats') say({ kind: 'stats', stats: sink.stats() })
    else say({ kind: 'sample', base64: Buffer.from(sink.sample() ?? new Uint8Array()).toString('base64') })
  })
  process.on('disconnect', () => process.exit(0))
  say({ kind: 'ready', port: sink.port })
}
