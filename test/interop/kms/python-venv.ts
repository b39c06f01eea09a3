// Python programs that stand in as key services, each in a virtual environment of its own under the tools cache. An
// environment is built beside its place and renamed into it, so that two runs at once cannot see a half-built one.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const TOOLS =
  process.env.BETRACE_TOOLS_DIR ?? resolve(dirname(fileURLToPath(import.meta.url)), '../../../.cache/tools')

/** The installed environment's folder. `packages` are pinned (`name==version`); another pin is another folder. */
export async function pythonVenv(name: string, packages: readonly string[]): Promise<string> {
  const digest = createHash('sha256').update(packages.join('\n')).digest('hex').slice(0, 12)
  const place = join(TOOLS, `venv-${name}-${digest}`)
  if (existsSync(place)) return place
  mkdirSync(TOOLS, { recursive: true })
  const building = mkdtempSync(join(TOOLS, `venv-${name}-building-`))
  console.warn(`installing ${packages.join(' ')} into ${place} (some minutes the first time)`)
  try {
    await run('python3', ['-m', 'venv', building])
    // Started through `python -m`, never through the scripts in bin/, which hold the path they were built under.
    await run(join(building, 'bin/python'), ['-m', 'pip', 'install', '--quiet', ...packages])
    renameSync(building, place)
  } catch (error) {
    rmSync(building, { recursive: true, force: true })
    if (!existsSync(place)) throw error // another run was faster when it does
  }
  return place
}

async function run(command: string, args: readonly string[]): Promise<void> {
  await promisify(execFile)('nice', ['-n', '10', command, ...args], { maxBuffer: 64 << 20 })
}
