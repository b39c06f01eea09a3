// How long a start takes: from exec to the first answer that says ready, with the local key service, from source and from
// the bundle that is published.
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { Sidecar } from '../test/interop/sidecar.ts'
import { median } from './report.ts'

const STARTS = 9
const root = resolve(import.meta.dirname, '..')

export interface StartResult {
  readonly sourceMs: number
  readonly bundleMs: number
}

/** Median milliseconds; the first start of each is not counted, since it fills the compile cache. */
export async function benchStart(): Promise<StartResult> {
  const folder = mkdtempSync(join(tmpdir(), 'betrace-bundle-'))
  try {
    const bundle = await installBundle(folder)
    return { sourceMs: await timeStarts(join(root, 'src/launch.js')), bundleMs: await timeStarts(bundle) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function timeStarts(launch: string): Promise<number> {
  const sidecar = await Sidecar.start({
    exporters: (directory) => ({ 'file/out': { path: `${directory}/out.jsonl` } }),
    launch,
  })
  try {
    const tookMs: number[] = []
    for (let start = 0; start < STARTS; start++) {
      await sidecar.process.stop()
      const startMs = performance.now()
      await sidecar.restart()
      tookMs.push(performance.now() - startMs)
    }
    return median(tookMs)
  } finally {
    await sidecar.remove()
  }
}

/** The files of the package as an installation has them. Returns its launch.js. */
async function installBundle(folder: string): Promise<string> {
  await promisify(execFile)('npm', ['run', '--silent', 'build'], { cwd: root })
  cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true })
  cpSync(join(root, 'package.json'), join(folder, 'package.json'))
  mkdirSync(join(folder, 'src'))
  cpSync(join(root, 'src/launch.js'), join(folder, 'src/launch.js'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return join(folder, 'src/launch.js')
}
