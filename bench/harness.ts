// One measurement: load → server → sink, each a process of its own. The server has a core to itself; load and sink
// share the other one. CPU is the server's alone, from before the first request until the sink has every span that was
// acknowledged, so work that a queue puts off is paid for too.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pinned } from '../test/interop/service-process.ts'
import { readUsage, type Usage } from './cpu.ts'
import type { LatencySummary, LoadOptions, LoadResult } from './load.ts'
import type { SinkMessage, SinkStats } from './sink.ts'
import type { YardstickOptions, YardstickResult } from './yardstick.ts'

/** The server's core. On a machine with one core there is nothing to separate. */
export const SERVER_CPU = 0
const LOAD_CPU = Math.min(1, cpus().length - 1)

const DRAIN_MS_MAX = 120_000

export class SinkProcess {
  readonly #child: ChildProcess
  readonly port: number

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
  }

  static async start(): Promise<SinkProcess> {
    const [command, ...args] = pinned(LOAD_CPU, [process.execPath, join(import.meta.dirname, 'sink.ts')])
    const child = spawn(command!, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const [message] = (await once(child, 'message')) as [SinkMessage] // sink.ts sends nothing else
    if (message.kind !== 'ready') throw new Error('the sink did not say ready first')
    return new SinkProcess(child, message.port)
  }

  async stats(): Promise<SinkStats> {
    const message = await this.#ask('stats')
    if (message.kind !== 'stats') throw new Error('the sink answered something else')
    return message.stats
  }

  /** The newest request body it received. */
  async sample(): Promise<Uint8Array> {
    const message = await this.#ask('sample')
    if (message.kind !== 'sample') throw new Error('the sink answered something else')
    return Buffer.from(message.base64, 'base64')
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.kill()
    await exited
  }

  async #ask(question: 'stats' | 'sample'): Promise<SinkMessage> {
    const answered = once(this.#child, 'message')
    this.#child.send(question)
    const [message] = (await answered) as [SinkMessage] // one question at a time, so this is its answer
    return message
  }
}

export function runLoad(options: LoadOptions): Promise<LoadResult> {
  return runScript<LoadResult>('load.ts', options, LOAD_CPU)
}

export function runYardstick(options: YardstickOptions): Promise<YardstickResult> {
  return runScript<YardstickResult>('yardstick.ts', options, SERVER_CPU)
}

/** Runs a script of this folder to its end; the last line it prints is its result. */
export function runScript<Result>(
  script: string,
  options: unknown,
  cpu: number | undefined,
): Promise<Result> {
  const [command, ...args] = pinned(cpu, [
    process.execPath,
    join(import.meta.dirname, script),
    JSON.stringify(options),
  ])
  return new Promise((done, fail) => {
    execFile(command!, args, { maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error !== null) fail(new Error(`${script} failed: ${error.message}\n${stderr}`))
      else done(JSON.parse(stdout.trim().split('\n').at(-1)!) as Result) // each script prints its own result type
    })
  })
}

export interface Measurement {
  readonly spansPerSecond: number
  readonly cpuUsPerSpan: number
  /** Highest seen while the load ran. */
  readonly rssMib: number
  readonly rssAnonMib: number
  readonly latency: LatencySummary
  readonly okRequests: number
  readonly refusedRequests: number
  /** Acknowledged, but not at the sink when the time for draining was over. */
  readonly spansMissing: number
}

export interface MeasureOptions {
  readonly pid: number
  readonly sink: SinkProcess
  readonly load: LoadOptions
}

/** Spans after which V8 has compiled what it will; by time alone a busy machine would measure an interpreter. */
const WARM_UP_SPANS = 60_000
const WARM_UP_REQUESTS = 10_000

/** Saturates a server until it is warm, and waits until the sink has everything. */
export async function warmUp({ pid, sink, load }: MeasureOptions): Promise<void> {
  const spansMin = Math.min(WARM_UP_SPANS, WARM_UP_REQUESTS * load.spans)
  await measure({ pid, sink, load: { ...load, spansMin } })
}

/** Measures one load against a server that is warm. */
export async function measure({ pid, sink, load }: MeasureOptions): Promise<Measurement> {
  const sinkBefore = await sink.stats()
  const before = readUsage(pid)
  const memory = watchMemory(pid)
  const result = await runLoad(load)
  const missing = await untilDrained(sink, sinkBefore.spans + result.okSpans)
  const seconds = (Date.now() - result.startedAtMs) / 1000
  const used = readUsage(pid).cpuUs - before.cpuUs
  const peak = memory.stop()
  return {
    spansPerSecond: (result.okSpans - missing) / seconds,
    cpuUsPerSpan: used / Math.max(1, result.okSpans),
    rssMib: peak.rssBytes / 2 ** 20,
    rssAnonMib: peak.rssAnonBytes / 2 ** 20,
    latency: result.latency,
    okRequests: result.okRequests,
    refusedRequests: result.sentRequests - result.okRequests,
    spansMissing: missing,
  }
}

async function untilDrained(sink: SinkProcess, spansWanted: number): Promise<number> {
  const deadline = performance.now() + DRAIN_MS_MAX
  for (;;) {
    const { spans } = await sink.stats()
    if (spans >= spansWanted) return 0
    if (performance.now() > deadline) return spansWanted - spans
    await sleep(20)
  }
}

function watchMemory(pid: number): { stop(): Usage } {
  let peak = readUsage(pid)
  const look = () => {
    const now = readUsage(pid)
    if (now.rssBytes > peak.rssBytes) peak = now
  }
  const timer = setInterval(look, 250)
  return {
    stop: () => {
      clearInterval(timer)
      look()
      return peak
    },
  }
}
