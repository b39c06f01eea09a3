// Side by side with a real OpenTelemetry Collector in the same run: CPU a span under the same load, then kill -9 of
// both while the next hop is down, and the count of acknowledged spans that never arrive.
//
//   npm run bench:peers            some minutes; add --quick for short loads
import { missingToolchain } from '../test/interop/tools.ts'
import { type CollectorName, startCollector, startQueueingCollector } from './collector-setups.ts'
import { type Measurement, measure, SinkProcess, warmUp } from './harness.ts'
import { type KillResult, killUnderLoad } from './kill.ts'
import { format, median, Report } from './report.ts'
import { inFlightFor, PACED_SPANS_PER_SECOND, type ScenarioName, startSidecar } from './scenarios.ts'

const SPANS = 512

interface Peer {
  readonly label: string
  readonly start: (sinkPort: number) => Promise<{
    readonly ports: { readonly grpc: number }
    readonly process: { readonly pid: number }
    remove(): Promise<void>
  }>
}

interface PeerResult {
  readonly label: string
  readonly saturated: readonly Measurement[]
  readonly paced: Measurement | undefined
}

const ours = (name: ScenarioName): Peer => ({
  label: `ours: ${name}`,
  start: (port) => startSidecar(name, port),
})
const theirs = (name: CollectorName): Peer => ({
  label: `collector: ${name}`,
  start: (port) => startCollector(name, port),
})
const OURS = {
  passThrough: ours('pass-through'),
  redaction: ours('redaction'),
  everything: ours('everything on'),
}
const THEIRS = {
  passThrough: theirs('pass-through'),
  redaction: theirs('redaction'),
  durable: theirs('redaction + disk queue + fsync'),
}

async function main(isQuick: boolean): Promise<number> {
  if (missingToolchain('collector') !== undefined) return 1
  const report = new Report('peers', !isQuick)
  const order = [
    THEIRS.passThrough,
    OURS.passThrough,
    THEIRS.redaction,
    OURS.redaction,
    THEIRS.durable,
    OURS.everything,
  ]
  const results = new Map<Peer, PeerResult>()
  for (const peer of order) results.set(peer, await measurePeer(peer, isQuick))
  printCpu(report, [...results.values()])

  const cpu = (peer: Peer) => median(results.get(peer)!.saturated.map((each) => each.cpuUsPerSpan))
  const everything = cpu(OURS.everything)
  report.judge('peers.everything_vs_durable', everything / cpu(THEIRS.durable))
  report.judge('peers.everything_vs_redaction', everything / cpu(THEIRS.redaction))
  report.judge('peers.passthrough_vs_passthrough', cpu(OURS.passThrough) / cpu(THEIRS.passThrough))

  const kills = [
    await killUnderLoad('ours: everything on', (port) => startSidecar('everything on', port)),
    await killUnderLoad('collector: default queue', (port) => startQueueingCollector('memory', port)),
    await killUnderLoad('collector: disk queue, fsync', (port) => startQueueingCollector('disk', port)),
  ]
  printKills(report, kills)
  report.judge('peers.spans_lost', kills[0]!.lost)
  return report.finish()
}

/** Starts a peer, warms it, saturates it some times and then holds it at the fixed rate. */
async function measurePeer(peer: Peer, isQuick: boolean): Promise<PeerResult> {
  const sink = await SinkProcess.start()
  const server = await peer.start(sink.port)
  try {
    const target = { pid: server.process.pid, sink }
    const load = { port: server.ports.grpc, spans: SPANS, inFlight: inFlightFor(SPANS) }
    await warmUp({ ...target, load: { ...load, seconds: isQuick ? 1 : 3 } })
    const saturated: Measurement[] = []
    for (let repetition = 0; repetition < (isQuick ? 1 : 3); repetition++) {
      saturated.push(await measure({ ...target, load: { ...load, seconds: isQuick ? 3 : 8 } }))
    }
    const rate = PACED_SPANS_PER_SECOND
    const paced = { port: server.ports.grpc, spans: SPANS, rate, seconds: isQuick ? 5 : 20 }
    return { label: peer.label, saturated, paced: await measure({ ...target, load: paced }) }
  } finally {
    await server.remove()
    await sink.stop()
  }
}

function printCpu(report: Report, results: readonly PeerResult[]): void {
  const rows = results.map(({ label, saturated, paced }) => [
    label,
    format(median(saturated.map((each) => each.cpuUsPerSpan))),
    format(median(saturated.map((each) => each.spansPerSecond))),
    paced === undefined ? '-' : format(paced.cpuUsPerSpan),
    paced === undefined ? '-' : `${format(paced.latency.p50Ms)} / ${format(paced.latency.p99Ms)}`,
    paced === undefined ? '-' : format(paced.rssMib),
  ])
  const head = ['512 spans a request', 'µs/span', 'spans/s', 'at 10k/s', 'p50/p99 ms', 'MiB']
  report.table('CPU of the server process a span, saturated and at 10,000 spans/s', head, rows, results)
}

function printKills(report: Report, kills: readonly KillResult[]): void {
  const rows = kills.map((each) => [
    each.label,
    format(each.acknowledged),
    format(each.lost),
    format(each.repeated),
  ])
  const head = ['next hop down, then kill -9', 'acknowledged', 'lost', 'twice']
  report.table('Acknowledged spans that never arrived after a restart', head, rows, kills)
}

process.exitCode = await main(process.argv.includes('--quick'))
