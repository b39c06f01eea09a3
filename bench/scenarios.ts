// The sidecar end to end over real gRPC sockets, in three configurations and three request sizes.
import { Sidecar } from '../test/interop/sidecar.ts'
import {
  type Measurement,
  measure,
  runLoad,
  runYardstick,
  SERVER_CPU,
  SinkProcess,
  warmUp,
} from './harness.ts'
import type { LatencySummary } from './load.ts'
import { median } from './report.ts'

export const SCENARIO_NAMES = ['pass-through', 'redaction', 'everything on'] as const
export type ScenarioName = (typeof SCENARIO_NAMES)[number]

interface Scenario {
  readonly processors: Readonly<Record<string, unknown>>
  readonly storage: Readonly<Record<string, unknown>>
}

// Every span of the payload holds an e-mail address in `enduser.id`, one in its SQL text and one in its URL, and an IP
// address in `client.address`. The first two are sealed, the others masked; the default pack looks at all other values.
const PII = {
  packs: ['default'],
  rules: [
    { name: 'user', match: { key: ['enduser.id'] }, action: 'encrypt', class: 'user' },
    {
      name: 'sql',
      match: { key: ['db.query.text'], detector: ['email'] },
      action: 'encrypt',
      class: 'email',
    },
    { name: 'url', match: { key: ['url.full'], detector: ['email'] }, action: 'mask' },
    { name: 'address', match: { key: ['client.address'] }, action: 'mask' },
  ],
}

const SCENARIOS: Readonly<Record<ScenarioName, Scenario>> = {
  'pass-through': { processors: {}, storage: { enabled: false } },
  redaction: { processors: { pii: PII }, storage: { enabled: false } },
  'everything on': { processors: { pii: PII, signing: { select: 'all' } }, storage: { ack: 'durable' } },
}

/** Requests on their way at once when saturating: enough to keep one core busy, by request size. */
const IN_FLIGHT: ReadonlyMap<number, number> = new Map([
  [512, 8],
  [32, 32],
  [1, 128],
])

export function inFlightFor(spans: number): number {
  return IN_FLIGHT.get(spans) ?? 16
}

export function startSidecar(
  name: ScenarioName,
  sinkPort: number,
  nodeArgs: readonly string[] = [],
): Promise<Sidecar> {
  const { processors, storage } = SCENARIOS[name]
  return Sidecar.start({
    exporters: () => ({
      'otlp_grpc/sink': { endpoint: `127.0.0.1:${sinkPort}`, tls: { insecure: true }, compression: 'none' },
    }),
    processors,
    storage,
    nodeArgs,
    cpu: SERVER_CPU,
  })
}

export interface Durations {
  readonly warmUpSeconds: number
  readonly saturatedSeconds: number
  /** 0: no run at a fixed rate. */
  readonly pacedSeconds: number
  readonly repetitions: number
}

export interface ScenarioResult {
  readonly name: ScenarioName
  readonly spans: number
  readonly saturated: Measurement
  /** CPU a span over protobufjs's in the same repetition; the median of the repetitions. */
  readonly yardstickRatio: number
  readonly yardstickUs: number
  readonly paced: PacedResult | undefined
  /** Of one request as the sink received it, a span. */
  readonly sealedPerSpan: number
  readonly maskedPerSpan: number
  readonly signedPerSpan: number
}

export interface PacedResult {
  readonly spansPerSecond: number
  readonly through: Measurement
  readonly direct: LatencySummary
}

const YARDSTICK_SECONDS = 1

/** Measures one configuration at one request size, next to the yardstick and to the way without a sidecar. */
export async function runScenario(
  name: ScenarioName,
  spans: number,
  durations: Durations,
): Promise<ScenarioResult> {
  const sink = await SinkProcess.start()
  const sidecar = await startSidecar(name, sink.port)
  try {
    const target = { pid: sidecar.process.pid, sink }
    const load = { port: sidecar.ports.grpc, spans, inFlight: inFlightFor(spans) }
    await warmUp({ ...target, load: { ...load, seconds: durations.warmUpSeconds } })
    // Each run stands between two yardsticks and is held against their mean: on a shared machine the speed of a core
    // drifts within seconds.
    const yardstick = async (): Promise<number> =>
      (await runYardstick({ spans, seconds: YARDSTICK_SECONDS })).cpuUsPerSpan
    const runs: { saturated: Measurement; yardstickUs: number }[] = []
    let before = await yardstick()
    for (let repetition = 0; repetition < durations.repetitions; repetition++) {
      const saturated = await measure({ ...target, load: { ...load, seconds: durations.saturatedSeconds } })
      const after = await yardstick()
      runs.push({ saturated, yardstickUs: (before + after) / 2 })
      before = after
    }
    const paced =
      durations.pacedSeconds === 0 ? undefined : await runPaced(sidecar, sink, spans, durations.pacedSeconds)
    const ratios = runs.map((run) => run.saturated.cpuUsPerSpan / run.yardstickUs)
    const middle = runs[ratios.indexOf(closest(ratios, median(ratios)))]!
    return {
      name,
      spans,
      saturated: middle.saturated,
      yardstickRatio: median(ratios),
      yardstickUs: middle.yardstickUs,
      paced,
      ...countMarks(await sink.sample(), spans),
    }
  } finally {
    await sidecar.remove()
    await sink.stop()
  }
}

/** The rate of every latency figure, spans a second; requests of one span come a tenth as often. */
export const PACED_SPANS_PER_SECOND = 10_000

async function runPaced(
  sidecar: Sidecar,
  sink: SinkProcess,
  spans: number,
  seconds: number,
): Promise<PacedResult> {
  const rate = spans === 1 ? PACED_SPANS_PER_SECOND / 10 : PACED_SPANS_PER_SECOND
  const direct = await runLoad({ port: sink.port, spans, rate, seconds: Math.max(2, seconds / 2) })
  const load = { port: sidecar.ports.grpc, spans, rate, seconds }
  const through = await measure({ pid: sidecar.process.pid, sink, load })
  return { spansPerSecond: rate, through, direct: direct.latency }
}

function closest(values: readonly number[], wanted: number): number {
  return values.reduce((best, value) => (Math.abs(value - wanted) < Math.abs(best - wanted) ? value : best))
}

/** Proof that the work was done: what of it can be seen in the bytes that came out. */
function countMarks(
  body: Uint8Array,
  spans: number,
): Pick<ScenarioResult, 'sealedPerSpan' | 'maskedPerSpan' | 'signedPerSpan'> {
  const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1')
  const perSpan = (mark: string) => (text.split(mark).length - 1) / spans
  return {
    sealedPerSpan: perSpan('enc.v1.'),
    maskedPerSpan: perSpan('[REDACTED'),
    signedPerSpan: perSpan('span.signature'),
  }
}
