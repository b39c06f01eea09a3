// Where the sidecar's CPU goes: one scenario under saturation with V8's profiler on, printed as a flat list.
//
//   node bench/profile.ts 'everything on' 512
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join, sep } from 'node:path'
import { runLoad, SinkProcess } from './harness.ts'
import { inFlightFor, SCENARIO_NAMES, type ScenarioName, startSidecar } from './scenarios.ts'

const FOLDER = join(import.meta.dirname, 'out/profile')
const SECONDS = 8
const ROWS = 40

/** The part of a .cpuprofile file that is read here. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

async function profile(name: ScenarioName, spans: number): Promise<CpuProfile> {
  rmSync(FOLDER, { recursive: true, force: true })
  mkdirSync(FOLDER, { recursive: true })
  const sink = await SinkProcess.start()
  const sidecar = await startSidecar(name, sink.port, ['--cpu-prof', `--cpu-prof-dir=${FOLDER}`])
  try {
    const load = { port: sidecar.ports.grpc, spans, inFlight: inFlightFor(spans), seconds: SECONDS }
    const { okSpans, seconds } = await runLoad(load)
    console.log(
      `${name}, ${spans} spans a request: ${Math.round(okSpans / seconds)} spans/s with the profiler on`,
    )
  } finally {
    await sidecar.remove() // the profile is written when the process exits
    await sink.stop()
  }
  const profiles = readdirSync(FOLDER)
    .filter((each) => each.endsWith('.cpuprofile'))
    .map((file) => JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as CpuProfile) // V8's own format
  const ofSidecar = profiles.find(({ nodes }) => nodes.some(({ callFrame }) => isOfPipeline(callFrame.url)))
  if (ofSidecar === undefined) throw new Error('the sidecar wrote no profile')
  return ofSidecar
}

/** The launcher writes a profile too, on a host whose Node is older; no request goes through it. */
const isOfPipeline = (url: string): boolean => url.includes('/src/pipeline/')

/** Self time by subject first (a folder of ours, a package, Node itself), then by function. */
function printSelfTime({ nodes, samples, timeDeltas }: CpuProfile): void {
  const byId = new Map(nodes.map((node) => [node.id, node.callFrame]))
  const bySubject = new Map<string, number>()
  const byFunction = new Map<string, number>()
  const add = (to: Map<string, number>, key: string, us: number) => to.set(key, (to.get(key) ?? 0) + us)
  samples.forEach((id, index) => {
    const { functionName, url, lineNumber } = byId.get(id)!
    if (functionName === '(idle)') return
    const place = url === '' ? '' : ` ${url.split(sep).slice(-2).join('/')}:${lineNumber + 1}`
    add(byFunction, `${functionName || '(anonymous)'}${place}`, timeDeltas[index]!)
    add(bySubject, subjectOf(url, functionName), timeDeltas[index]!)
  })
  for (const table of [bySubject, byFunction]) {
    const busyUs = [...table.values()].reduce((total, us) => total + us, 0)
    const rows = [...table].sort((left, right) => right[1] - left[1]).slice(0, ROWS)
    for (const [key, us] of rows) console.log(`${((us / busyUs) * 100).toFixed(1).padStart(5)} %  ${key}`)
    console.log()
  }
}

function subjectOf(url: string, functionName: string): string {
  const ours = /\/src\/([^/]+)\//.exec(url)
  if (ours !== null) return `src/${ours[1]}`
  const installed = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)
  if (installed !== null) return installed[1]!
  if (url.startsWith('node:')) return url.split('/').slice(0, 2).join('/')
  return functionName.startsWith('(') ? functionName : 'V8 and Node, native'
}

const asked = process.argv[2] ?? 'everything on'
const name = SCENARIO_NAMES.find((each) => each === asked)
if (name === undefined) throw new Error(`no scenario ${asked}; there are: ${SCENARIO_NAMES.join(', ')}`)
printSelfTime(await profile(name, Number(process.argv[3] ?? 512)))
