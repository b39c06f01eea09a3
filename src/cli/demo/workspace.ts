// The demo's temporary folder, free ports and child processes; everything that has to be gone afterwards.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

export interface Finished {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export class Workspace {
  readonly folder = mkdtempSync(join(tmpdir(), 'betrace-demo-'))
  readonly #children = new Set<ChildProcess>()

  /** Runs a program of ours to its end. */
  async run(script: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
    const child = this.#spawn(script, args, env, ['ignore', 'pipe', 'pipe'])
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout!),
      text(child.stderr!),
      once(child, 'close'),
    ])
    return { code: typeof code === 'number' ? code : 1, stdout, stderr }
  }

  /** Starts a program that goes on; its output goes to the given file descriptor. */
  start(
    script: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv,
    output: number,
    detached: boolean,
  ): ChildProcess {
    return this.#spawn(script, args, env, ['ignore', output, output], detached)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#children].map(stop))
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** Leaves the programs running and the folder in place. */
  keep(): void {
    for (const child of this.#children) child.unref()
    this.#children.clear()
  }

  #spawn(
    script: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv,
    stdio: ('ignore' | 'pipe' | number)[],
    detached = false,
  ): ChildProcess {
    const child = spawn(process.execPath, [script, ...args], {
      stdio,
      detached,
      env: { ...process.env, ...env },
    })
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    return child
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await exited
  clearTimeout(timer)
}

/** Ports that were free a moment ago, on loopback. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map((server) => {
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    return address.port
  })
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
