// Pinned peers for the interop tests and the side-by-side bench, built by their own ecosystems' ordinary clients.
// Each tool lives in `<cache>/<name>` and is complete when its stamp says what it was built from; a lock file with the
// builder's pid keeps two runs apart. Run by itself (`node test/interop/tools.ts [name…]`) it installs and prints paths.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const HERE = dirname(fileURLToPath(import.meta.url))
const CLIENTS = join(HERE, 'clients')

export const COLLECTOR_VERSION = 'v0.161.0'
const CONFMAP_VERSION = 'v1.67.0'
const PYTHON_PACKAGES = [
  'opentelemetry-sdk',
  'opentelemetry-exporter-otlp-proto-grpc',
  'opentelemetry-exporter-otlp-proto-http',
].map((name) => `${name}==1.45.2`)
/** For the second implementations in `test/vectors`. */
const PYTHON_CRYPTOGRAPHY = 'cryptography==48.0.0'
/** The oldest line of Node that `package.json` allows. */
const OLDER_NODE = `node-${process.platform}-${process.arch}@22.23.5`

const CORE = 'go.opentelemetry.io/collector'
const CONTRIB = 'github.com/open-telemetry/opentelemetry-collector-contrib'
const COLLECTOR_MODULES: Readonly<Record<string, readonly string[]>> = {
  receivers: [`${CORE}/receiver/otlpreceiver`],
  processors: [
    `${CORE}/processor/batchprocessor`,
    `${CORE}/processor/memorylimiterprocessor`,
    `${CONTRIB}/processor/redactionprocessor`,
    `${CONTRIB}/processor/groupbyattrsprocessor`,
    `${CONTRIB}/processor/groupbytraceprocessor`,
    `${CONTRIB}/processor/tailsamplingprocessor`,
  ],
  exporters: [
    `${CORE}/exporter/otlpexporter`,
    `${CORE}/exporter/otlphttpexporter`,
    `${CORE}/exporter/debugexporter`,
    `${CORE}/exporter/nopexporter`,
    `${CONTRIB}/exporter/fileexporter`,
  ],
  extensions: [`${CONTRIB}/extension/healthcheckextension`, `${CONTRIB}/extension/storage/filestorage`],
}

/** How to run a tool that is installed: `command` and the arguments that come before the caller's own. */
export interface Tool {
  readonly command: string
  readonly args: readonly string[]
}

interface Recipe {
  /** Programs that must be on PATH; the first that is missing is the reason for a skip. */
  readonly needs: readonly string[]
  /** Everything the result depends on. A change of it means a new build. */
  readonly inputs: () => string
  readonly build: (directory: string) => Promise<void>
  readonly tool: (directory: string) => Tool
}

export const TOOL_NAMES = ['collector', 'python', 'go', 'java', 'wycheproof', 'node22'] as const
export type ToolName = (typeof TOOL_NAMES)[number]

const RECIPES: Readonly<Record<ToolName, Recipe>> = {
  collector: {
    needs: ['go'],
    inputs: () => collectorManifest('.'),
    build: buildCollector,
    tool: (directory) => ({ command: join(directory, 'otelcol'), args: [] }),
  },
  python: {
    needs: ['python3'],
    inputs: () => [...PYTHON_PACKAGES, PYTHON_CRYPTOGRAPHY].join('\n'),
    build: async (directory) => {
      await run('python3', ['-m', 'venv', '--clear', join(directory, 'venv')], directory)
      await run(
        join(directory, 'venv/bin/python'),
        ['-m', 'pip', 'install', '--quiet', ...PYTHON_PACKAGES, PYTHON_CRYPTOGRAPHY],
        directory,
      )
    },
    tool: (directory) => ({
      command: join(directory, 'venv/bin/python'),
      args: [join(CLIENTS, 'python/client.py')],
    }),
  },
  go: {
    needs: ['go'],
    inputs: () => sources('go', ['go.mod', 'go.sum', 'main.go']),
    build: async (directory) => {
      await run('go', ['build', '-o', join(directory, 'client'), '.'], join(CLIENTS, 'go'), {
        CGO_ENABLED: '0',
      })
    },
    tool: (directory) => ({ command: join(directory, 'client'), args: [] }),
  },
  java: {
    needs: ['java', 'javac', 'mvn'],
    inputs: () => sources('java', ['pom.xml', 'src/main/java/interop/Main.java']),
    // Maven writes its target folder beside the sources, so it gets a copy of them.
    build: async (directory) => {
      cpSync(join(CLIENTS, 'java'), directory, { recursive: true })
      await run(
        'mvn',
        ['--batch-mode', '--quiet', 'package', 'dependency:copy-dependencies', '-DoutputDirectory=lib'],
        directory,
      )
    },
    tool: (directory) => ({
      command: 'java',
      args: ['-cp', `${join(directory, 'target/classes')}:${join(directory, 'lib')}/*`, 'interop.Main'],
    }),
  },
  // No program: `command` is the folder of the vectors, in the module cache.
  wycheproof: {
    needs: ['go'],
    inputs: () => sources('wycheproof', ['go.mod', 'go.sum']),
    build: async (directory) => {
      const cwd = join(CLIENTS, 'wycheproof')
      await run('go', ['mod', 'download'], cwd)
      const folder = await run('go', ['list', '-m', '-f', '{{.Dir}}', 'github.com/c2sp/wycheproof'], cwd)
      writeFileSync(join(directory, 'folder'), folder.trim())
    },
    tool: (directory) => ({
      command: join(readFileSync(join(directory, 'folder'), 'utf8'), 'testvectors_v1'),
      args: [],
    }),
  },
  node22: {
    needs: ['npm'],
    inputs: () => OLDER_NODE,
    build: async (directory) => {
      await run('npm', ['install', '--no-audit', '--no-fund', '--prefix', directory, OLDER_NODE], directory)
    },
    tool: (directory) => ({
      command: join(directory, 'node_modules', OLDER_NODE.split('@')[0]!, 'bin/node'),
      args: [],
    }),
  },
}

/** Whether a missing toolchain fails a run rather than skipping its tests. */
export const isInteropRequired = process.env.BETRACE_REQUIRE_INTEROP === '1'

/** Why the tool cannot be had on this machine, or `undefined` when it can. Prints the reason, so that no skip is silent. */
export function missingToolchain(name: ToolName): string | undefined {
  const missing = RECIPES[name].needs.find((program) => !isOnPath(program))
  if (missing === undefined) return undefined
  const reason = `${missing} is not on PATH, which the ${name} peer needs`
  if (isInteropRequired) throw new Error(`${reason}, and BETRACE_REQUIRE_INTEROP=1 forbids to skip it`)
  console.warn(`skipped: ${reason}`)
  return reason
}

/** Installs a tool, or finds it complete from before. Waits while another process builds it. Rejects with the builder's
 *  own output when the build fails, and leaves no stamp then. */
export async function install(name: ToolName): Promise<Tool> {
  const recipe = RECIPES[name]
  const directory = join(toolsDirectory(), name)
  const stamp = join(directory, 'complete')
  const digest = createHash('sha256').update(recipe.inputs()).digest('hex')
  const isComplete = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === digest
  if (isComplete()) return recipe.tool(directory)
  const unlock = await lock(`${directory}.lock`)
  try {
    if (isComplete()) return recipe.tool(directory)
    rmSync(directory, { recursive: true, force: true })
    mkdirSync(directory, { recursive: true })
    const startedMs = performance.now()
    console.warn(
      `building the ${name} peer in ${directory}${name === 'collector' ? ' (some minutes the first time)' : ''}`,
    )
    await recipe.build(directory)
    writeFileSync(stamp, digest)
    console.warn(`built the ${name} peer in ${((performance.now() - startedMs) / 1000).toFixed(0)} s`)
    return recipe.tool(directory)
  } finally {
    unlock()
  }
}

function toolsDirectory(): string {
  const directory = process.env.BETRACE_TOOLS_DIR ?? join(HERE, '../../.cache/tools')
  mkdirSync(directory, { recursive: true })
  return resolve(directory)
}

async function buildCollector(directory: string): Promise<void> {
  await run('go', ['install', `${CORE}/cmd/builder@${COLLECTOR_VERSION}`], directory, {
    GOBIN: directory,
    CGO_ENABLED: '0',
  })
  writeFileSync(join(directory, 'manifest.yaml'), collectorManifest(join(directory, 'build')))
  await run(join(directory, 'builder'), ['--config', 'manifest.yaml'], directory, { CGO_ENABLED: '0' })
  cpSync(join(directory, 'build/otelcol'), join(directory, 'otelcol'))
  rmSync(join(directory, 'build'), { recursive: true })
}

function collectorManifest(outputPath: string): string {
  const lines = [
    'dist:',
    '  name: otelcol',
    '  description: peer of the sidecar in tests',
    `  output_path: ${outputPath}`,
  ]
  for (const [kind, modules] of Object.entries(COLLECTOR_MODULES)) {
    lines.push(`${kind}:`, ...modules.map((module) => `  - gomod: ${module} ${COLLECTOR_VERSION}`))
  }
  lines.push('providers:')
  for (const provider of ['env', 'file', 'yaml']) {
    lines.push(`  - gomod: ${CORE}/confmap/provider/${provider}provider ${CONFMAP_VERSION}`)
  }
  return `${lines.join('\n')}\n`
}

function sources(client: string, files: readonly string[]): string {
  return files.map((file) => `${file}\n${readFileSync(join(CLIENTS, client, file), 'utf8')}`).join('\n')
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? '')
    .split(':')
    .some((directory) => directory !== '' && existsSync(join(directory, program)))
}

/** Runs a builder at low priority, since tests of other suites may run beside it. Resolves with its output. */
function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  return new Promise((done, fail) => {
    const child = spawn('nice', ['-n', '10', command, ...args], {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const output: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => output.push(chunk))
    child.on('error', fail)
    child.on('close', (code) => {
      if (code === 0) done(Buffer.concat(output).toString('utf8'))
      else
        fail(
          new Error(
            `${command} ${args.join(' ')} ended with ${code}:\n${Buffer.concat(output).toString('utf8').slice(-4000)}`,
          ),
        )
    })
  })
}

/** Takes the lock file, waiting for a living holder and taking over from a dead one. */
async function lock(path: string): Promise<() => void> {
  for (let announced = false; ; announced = true) {
    const mine = `${path}.${process.pid}`
    try {
      // Linked into place whole: a lock that is seen at all has its holder's pid in it.
      writeFileSync(mine, String(process.pid))
      linkSync(mine, path)
      return () => rmSync(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error // file calls throw errno errors only
    } finally {
      rmSync(mine, { force: true })
    }
    if (!isAlive(readHolder(path))) {
      rmSync(path, { force: true })
      continue
    }
    if (!announced) console.warn(`waiting for another process that holds ${path}`)
    await sleep(500)
  }
}

function readHolder(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8'))
  } catch {
    return 0 // released in between
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const asked = process.argv.slice(2)
  for (const name of TOOL_NAMES.filter((known) => asked.length === 0 || asked.includes(known))) {
    if (missingToolchain(name) !== undefined) continue
    const tool = await install(name)
    console.log(`${name}: ${[tool.command, ...tool.args].join(' ')}`)
  }
}
