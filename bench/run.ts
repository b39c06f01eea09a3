// The bench: wire engine, key cache, and the sidecar end to end. Prints tables, writes bench/out/bench.json and exits 1
// where a target is missed.
//
//   npm run bench                the tables of docs/performance.md, about twelve minutes
//   npm run bench -- --quick     ratios only, under two minutes, for every change
//   npm run bench -- --long      also ten minutes at a fixed rate, to see whether memory stays flat

import { setTimeout as sleep } from 'node:timers/promises'
import { readUsage } from './cpu.ts'
import { runLoad, runScript, SERVER_CPU, SinkProcess } from './harness.ts'
import type { KeysResult } from './keys.ts'
import { format, median, Report } from './report.ts'
import {
  type Durations,
  PACED_SPANS_PER_SECOND,
  runScenario,
  SCENARIO_NAMES,
  type ScenarioResult,
  startSidecar,
} from './scenarios.ts'
import { runSignatureBench } from './signatures.ts'
import { benchStart } from './start.ts'
import { runWireBench } from './wire.ts'

const QUICK: Durations = { warmUpSeconds: 6, saturatedSeconds: 3, pacedSeconds: 0, repetitions: 7 }
const FULL: Durations = { warmUpSeconds: 4, saturatedSeconds: 4, pacedSeconds: 20, repetitions: 5 }
const LONG_SECONDS = 600

async function main(flags: readonly string[]): Promise<number> {
  const isQuick = flags.includes('--quick')
  const report = new Report(isQuick ? 'bench-quick' : 'bench', !isQuick)
  if (!flags.includes('--only-long')) {
    await benchWire(report)
    benchSignatures(report)
    await benchKeys(report)
    await benchStartUp(report)
    await benchEndToEnd(report, isQuick)
  }
  if (flags.some((flag) => flag === '--long' || flag === '--only-long')) await benchLong(report)
  return report.finish()
}

/** Runs in this process, which does nothing else then, and before anything else has warmed it up differently. */
async function benchWire(report: Report): Promise<void> {
  const results = await runWireBench()
  const speedup = results.find(({ unit }) => unit === '×')
  report.judge('wire.speedup', speedup?.value ?? Number.NaN)
  const rows = results.map(({ name, value, unit }) => [name, `${format(value)} ${unit}`])
  report.table('Wire engine, 512 spans a request', ['', ''], rows, results)
}

function benchSignatures(report: Report): void {
  const results = runSignatureBench()
  const of = (proof: string, spans: number) =>
    results.find((each) => each.proof === proof && each.spans === spans)?.bytesPerSpan ?? Number.NaN
  report.judge('signatures.compact_bytes_512', of('compact', 512))
  const rows = results.map(({ proof, spans, bytesPerSpan, usPerSpan }) => [
    `${proof}, ${spans} spans a request`,
    format(Math.round(bytesPerSpan)),
    format(usPerSpan),
  ])
  report.table('Signatures, ed25519-merkle-v1', ['', 'bytes a span', 'µs a span'], rows, results)
}

async function benchKeys(report: Report): Promise<void> {
  const result = await runScript<KeysResult>('keys.ts', {}, SERVER_CPU)
  report.judge('keys.cached_p99_us', result.cachedP99Us)
  report.judge('keys.hit_ratio', result.hitRatio)
  report.judge('keys.cold_calls', result.coldCalls)
  report.judge('keys.calls_by_rate', result.callsPerHourTenfold / result.callsPerHour)
  report.judge('keys.miss_overhead_ms', result.missOverheadP99Ms)
  const rows = [
    [
      'both keys of a request, cached: p50 / p99',
      `${format(result.cachedP50Us)} / ${format(result.cachedP99Us)} µs`,
    ],
    [`hit ratio over ${format(result.lookups)} look-ups`, `${(result.hitRatio * 100).toFixed(4)} %`],
    ['calls to the key service an hour, 100 tenants', format(result.callsPerHour)],
    ['the same at ten times the rate', format(result.callsPerHourTenfold)],
    ['a miss, beyond the time of the service: p99', `${format(result.missOverheadP99Ms)} ms`],
    ['calls for 3,000 concurrent cold requests', format(result.coldCalls)],
  ]
  report.table('Key cache', ['', ''], rows, result)
}

async function benchStartUp(report: Report): Promise<void> {
  const result = await benchStart()
  report.judge('start.ready_ms', result.sourceMs)
  report.judge('start.bundle_ready_ms', result.bundleMs)
  const rows = [
    ['from exec to ready, from source', `${format(result.sourceMs)} ms`],
    ['from exec to ready, from the bundle', `${format(result.bundleMs)} ms`],
  ]
  report.table('Start', ['', ''], rows, result)
}

async function benchEndToEnd(report: Report, isQuick: boolean): Promise<void> {
  const sizes = isQuick ? [512] : [512, 32, 1]
  const results: ScenarioResult[] = []
  for (const spans of sizes) {
    for (const name of SCENARIO_NAMES) results.push(await runScenario(name, spans, isQuick ? QUICK : FULL))
  }
  printSaturated(report, results)
  if (!isQuick) printPaced(report, results)
  const large = (name: string) => results.find((each) => each.name === name && each.spans === 512)!
  report.judge('e2e.everything_ratio', large('everything on').yardstickRatio)
  report.judge('e2e.passthrough_ratio', large('pass-through').yardstickRatio)
  const { paced } = large('everything on')
  if (paced === undefined) return
  report.judge('e2e.added_p99_ms', paced.through.latency.p99Ms - paced.direct.p99Ms)
  report.judge('e2e.rss_mib', paced.through.rssMib)
}

function printSaturated(report: Report, results: readonly ScenarioResult[]): void {
  const rows = results.map((each) => [
    `${each.name}, ${each.spans}`,
    format(each.saturated.spansPerSecond),
    format(each.saturated.cpuUsPerSpan),
    format(each.yardstickUs),
    `${each.yardstickRatio.toFixed(2)} x`,
    format(each.saturated.rssMib),
    `${format(each.sealedPerSpan)}/${format(each.maskedPerSpan)}/${format(each.signedPerSpan)}`,
  ])
  const head = [
    'saturated, spans a request',
    'spans/s',
    'µs/span',
    'pbjs',
    'ratio',
    'MiB',
    'sealed/masked/signed',
  ]
  report.table('End to end, one core: CPU of the sidecar a span, against protobufjs', head, rows, results)
}

function printPaced(report: Report, results: readonly ScenarioResult[]): void {
  const rows = results.flatMap(({ name, spans, paced }) => {
    if (paced === undefined) return []
    const { through, direct } = paced
    const added = (at: 'p50Ms' | 'p99Ms' | 'p999Ms') => format(through.latency[at] - direct[at])
    return [
      [
        `${name}, ${spans}`,
        format(paced.spansPerSecond),
        format(through.cpuUsPerSpan),
        `${added('p50Ms')} / ${added('p99Ms')} / ${added('p999Ms')}`,
        `${format(direct.p50Ms)} / ${format(direct.p99Ms)}`,
        `${format(through.rssMib)} (${format(through.rssAnonMib)})`,
      ],
    ]
  })
  const head = ['fixed rate', 'spans/s', 'µs/span', 'added p50/p99/p99.9', 'direct p50/p99', 'MiB (own)']
  report.table('Latency that the sidecar adds, ms, and its memory', head, rows, [])
}

/** Everything on at the fixed rate for ten minutes: resident memory at the end against that after two. */
async function benchLong(report: Report): Promise<void> {
  const sink = await SinkProcess.start()
  const sidecar = await startSidecar('everything on', sink.port)
  try {
    const samplesMib: { readonly second: number; readonly rssMib: number; readonly ownMib: number }[] = []
    const load = { port: sidecar.ports.grpc, spans: 512, rate: PACED_SPANS_PER_SECOND, seconds: LONG_SECONDS }
    let isOver = false
    const loading = runLoad(load).finally(() => {
      isOver = true
    })
    const startMs = performance.now()
    while (!isOver) {
      const { rssBytes, rssAnonBytes } = readUsage(sidecar.process.pid)
      const second = Math.round((performance.now() - startMs) / 1000)
      samplesMib.push({ second, rssMib: rssBytes / 2 ** 20, ownMib: rssAnonBytes / 2 ** 20 })
      await sleep(5_000)
    }
    const { okRequests, sentRequests } = await loading
    const between = (from: number, to: number) =>
      median(samplesMib.filter(({ second }) => second >= from && second < to).map(({ rssMib }) => rssMib))
    const [early, late] = [between(90, 150), between(LONG_SECONDS - 60, LONG_SECONDS + 60)]
    report.judge('long.rss_growth', late / early)
    const rows = [
      ['resident after two minutes, MiB', format(early)],
      ['resident after ten minutes, MiB', format(late)],
      ['requests, and of them OK', `${format(sentRequests)} / ${format(okRequests)}`],
    ]
    report.table('Ten minutes of 10,000 spans a second', ['', ''], rows, samplesMib)
  } finally {
    await sidecar.remove()
    await sink.stop()
  }
}

process.exitCode = await main(process.argv.slice(2))
