// The load generator, a process of its own: sends prepared requests over gRPC and prints one line of JSON.
//
//   node bench/load.ts '{"port":4317,"spans":512,"seconds":10,"rate":10000}'       open loop, spans a second
//   node bench/load.ts '{"port":4317,"spans":512,"seconds":10,"inFlight":8}'       closed loop, as fast as it goes
//
// In the open loop a request's latency counts from the moment it was due, not from the moment it was sent: a peer that
// stalls is charged for everything that had to wait behind the stall.
import { fileURLToPath } from 'node:url'
import { grpcFrame, OtlpClient } from './otlp-client.ts'
import { makeTraces } from './payload.ts'

export interface LoadOptions {
  readonly port: number
  /** Spans a request. */
  readonly spans: number
  readonly seconds: number
  /** Spans a second, open loop. Absent: closed loop with `inFlight` requests at a time. */
  readonly rate?: number
  readonly inFlight?: number
  /** Closed loop only: goes on past `seconds`, up to ten times as long, until so many spans were sent. */
  readonly spansMin?: number
  readonly connections?: number
  readonly seed?: number
}

export interface LatencySummary {
  readonly count: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
}

export interface LoadResult {
  readonly sentRequests: number
  readonly okRequests: number
  readonly okSpans: number
  /** When the first request was due, milliseconds since the Unix epoch. */
  readonly startedAtMs: number
  /** From then until the last request had ended. */
  readonly seconds: number
  /** gRPC status (or -1) → requests that ended with it. */
  readonly refused: Readonly<Record<string, number>>
  readonly latency: LatencySummary
}

/** Requests kept ready, in bytes: enough for varied values without growing the process. */
const PREPARED_BYTES_MAX = 8 * 1024 * 1024
const PREPARED_COUNT_MAX = 256
const REFUSED_PAUSE_MS = 50

export async function generateLoad(options: LoadOptions): Promise<LoadResult> {
  const frames = prepareFrames(options.spans, options.seed ?? 1)
  const clients = await Promise.all(
    Array.from({ length: options.connections ?? 2 }, () => OtlpClient.connect(options.port)),
  )
  const run = new Run(frames, clients)
  const startedAtMs = Date.now()
  const startedMs = performance.now()
  if (options.rate === undefined) await closedLoop(run, options)
  else await openLoop(run, options.rate / options.spans, options.seconds)
  const seconds = (performance.now() - startedMs) / 1000
  await Promise.all(clients.map((client) => client.close()))
  return { ...run.result(), okSpans: run.okRequests * options.spans, startedAtMs, seconds }
}

function prepareFrames(spans: number, seed: number): Buffer[] {
  const frames: Buffer[] = []
  for (
    let bytes = 0;
    frames.length < PREPARED_COUNT_MAX && (frames.length < 4 || bytes < PREPARED_BYTES_MAX);
  ) {
    const frame = grpcFrame(makeTraces({ spans, seed: seed + frames.length }))
    frames.push(frame)
    bytes += frame.length
  }
  return frames
}

/** Requests on their way and what became of those that ended. */
class Run {
  readonly #frames: readonly Buffer[]
  readonly #clients: readonly OtlpClient[]
  readonly #latenciesMs: number[] = []
  readonly #refused = new Map<number, number>()
  sent = 0
  okRequests = 0

  constructor(frames: readonly Buffer[], clients: readonly OtlpClient[]) {
    this.#frames = frames
    this.#clients = clients
  }

  /** `dueMs` is when the request should have left, on performance.now(). */
  send(dueMs: number, ended: (status: number) => void): void {
    const index = this.sent++
    const client = this.#clients[index % this.#clients.length]!
    client.export(this.#frames[index % this.#frames.length]!, (status) => {
      this.#latenciesMs.push(performance.now() - dueMs)
      if (status === 0) this.okRequests++
      else this.#refused.set(status, (this.#refused.get(status) ?? 0) + 1)
      ended(status)
    })
  }

  result(): Omit<LoadResult, 'okSpans' | 'startedAtMs' | 'seconds'> {
    return {
      sentRequests: this.sent,
      okRequests: this.okRequests,
      refused: Object.fromEntries(this.#refused),
      latency: summarize(this.#latenciesMs),
    }
  }
}

const PROLONGED_FACTOR_MAX = 10

function closedLoop(run: Run, { spans, seconds, inFlight = 8, spansMin = 0 }: LoadOptions): Promise<void> {
  const startMs = performance.now()
  const isOver = (nowMs: number) => {
    const elapsedSeconds = (nowMs - startMs) / 1000
    if (elapsedSeconds < seconds) return false
    return run.sent * spans >= spansMin || elapsedSeconds > seconds * PROLONGED_FACTOR_MAX
  }
  return new Promise((done) => {
    let open = inFlight
    const next = () => {
      const nowMs = performance.now()
      if (!isOver(nowMs)) run.send(nowMs, again)
      else if (--open === 0) done()
    }
    // A refusal costs its sender a pause, as it does with every real client; otherwise refusals are all we measure.
    const again = (status: number) => {
      if (status === 0) next()
      else setTimeout(next, REFUSED_PAUSE_MS)
    }
    for (let slot = 0; slot < inFlight; slot++) next()
  })
}

function openLoop(run: Run, requestsPerSecond: number, seconds: number): Promise<void> {
  const total = Math.round(requestsPerSecond * seconds)
  const intervalMs = 1000 / requestsPerSecond
  const startMs = performance.now()
  return new Promise((done) => {
    let sent = 0
    let ended = 0
    const countEnd = () => {
      if (++ended === total) done()
    }
    const tick = () => {
      const nowMs = performance.now()
      while (sent < total && startMs + sent * intervalMs <= nowMs)
        run.send(startMs + sent++ * intervalMs, countEnd)
      if (sent < total) setTimeout(tick, Math.max(0, startMs + sent * intervalMs - performance.now()))
    }
    tick()
  })
}

/** Percentiles by nearest rank. An empty list gives zeros. */
export function summarize(latenciesMs: readonly number[]): LatencySummary {
  const sorted = Float64Array.from(latenciesMs).sort()
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
  return { count: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), p999Ms: at(0.999), maxMs: at(1) }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // The caller is another file of this folder; what it passes has this shape.
  const options = JSON.parse(process.argv[2] ?? '{}') as LoadOptions
  console.log(JSON.stringify(await generateLoad(options)))
}
