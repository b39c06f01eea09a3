// This tree against another one, side by side: both run at once on the same core, and the load goes to one and then to
// the other, in the order ABBA, so that both meet the same noise. What counts is the ratio of CPU a span within a pair.
//
//   npm run bench:pairs -- ../other-checkout                 all scenarios, 512 spans a request, 15 pairs
//   npm run bench:pairs -- ../other-checkout --pairs 31 --spans 32 --scenario redaction
//
// The other checkout needs its own node_modules. Exits 1 when a median is more than 3 % above 1 and its interval, too,
// lies above 1.
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { type MeasureOptions, measure, SinkProcess, warmUp } from './harness.ts'
import { median, printTable } from './report.ts'
import { inFlightFor, SCENARIO_NAMES, type ScenarioName, startSidecar } from './scenarios.ts'

/** A pair's share of a second is counted in ticks of 10 ms: shorter loads would measure the clock. */
const LOAD_SECONDS = 2
const WARM_UP_SECONDS = 5
const SLOWER_MAX = 1.03

interface Tree {
  readonly startSidecar: typeof startSidecar
}

interface Comparison {
  readonly name: string
  readonly thisUs: number
  readonly otherUs: number
  readonly ratio: number
  readonly low: number
  readonly high: number
}

interface Target {
  readonly options: MeasureOptions
  remove(): Promise<void>
}

async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      pairs: { type: 'string', default: '15' },
      spans: { type: 'string', default: '512' },
      scenario: { type: 'string', multiple: true, default: [...SCENARIO_NAMES] },
    },
  })
  const [path] = positionals
  if (path === undefined) throw new Error('name the other checkout: npm run bench:pairs -- ../other-checkout')
  const other = (await import(pathToFileURL(resolve(path, 'bench/scenarios.ts')).href)) as Tree // our own bench, at another commit
  const results: Comparison[] = []
  for (const name of SCENARIO_NAMES.filter((each) => values.scenario.includes(each))) {
    results.push(await compare(name, other, Number(values.pairs), Number(values.spans)))
    process.stderr.write(`${name}: ${rowOf(results.at(-1)!).join('  ')}\n`)
  }
  printTable(
    `This tree against ${path}, ${values.spans} spans a request, ${values.pairs} pairs: CPU a span`,
    ['', 'this, µs', 'other, µs', 'ratio', '95 % of medians'],
    results.map(rowOf),
  )
  return results.some(({ ratio, low }) => ratio > SLOWER_MAX && low > 1) ? 1 : 0
}

function rowOf({ name, thisUs, otherUs, ratio, low, high }: Comparison): string[] {
  return [
    name,
    thisUs.toFixed(1),
    otherUs.toFixed(1),
    `${ratio.toFixed(3)} x`,
    `${low.toFixed(3)}-${high.toFixed(3)}`,
  ]
}

async function compare(name: ScenarioName, other: Tree, pairs: number, spans: number): Promise<Comparison> {
  const mine = await startTarget(name, startSidecar, spans)
  const theirs = await startTarget(name, other.startSidecar, spans)
  try {
    for (const { options } of [mine, theirs])
      await warmUp({ ...options, load: { ...options.load, seconds: WARM_UP_SECONDS } })
    const us = { mine: [] as number[], theirs: [] as number[] }
    for (let pair = 0; pair < pairs; pair++) {
      const isMineFirst = pair % 2 === 0
      if (isMineFirst) us.mine.push((await measure(mine.options)).cpuUsPerSpan)
      us.theirs.push((await measure(theirs.options)).cpuUsPerSpan)
      if (!isMineFirst) us.mine.push((await measure(mine.options)).cpuUsPerSpan)
    }
    const ratios = us.mine.map((value, pair) => value / us.theirs[pair]!)
    return {
      name,
      thisUs: median(us.mine),
      otherUs: median(us.theirs),
      ratio: median(ratios),
      ...medianInterval(ratios),
    }
  } finally {
    await mine.remove()
    await theirs.remove()
  }
}

async function startTarget(name: ScenarioName, start: typeof startSidecar, spans: number): Promise<Target> {
  const sink = await SinkProcess.start()
  const sidecar = await start(name, sink.port)
  const load = { port: sidecar.ports.grpc, spans, inFlight: inFlightFor(spans), seconds: LOAD_SECONDS }
  return {
    options: { pid: sidecar.process.pid, sink, load },
    remove: async () => {
      await sidecar.remove()
      await sink.stop()
    },
  }
}

/** Between these order statistics lies the true median in 95 of 100 cases, whatever the distribution (sign test). */
function medianInterval(values: readonly number[]): { low: number; high: number } {
  const sorted = [...values].sort((a, b) => a - b)
  const rank = Math.max(0, Math.floor((values.length - 1.96 * Math.sqrt(values.length)) / 2))
  return { low: sorted[rank]!, high: sorted[sorted.length - 1 - rank]! }
}

process.exitCode = await main(process.argv.slice(2))
