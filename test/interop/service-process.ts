// A server under test as a process of its own: started with its output kept, awaited by its health answer, stopped by
// signal. Whoever starts one stops it.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const OUTPUT_CHARS_MAX = 256 * 1024
/** Short, since the bench times starts with it. */
const POLL_MS = 5

export interface ServiceCommand {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Runs on this core only, where `taskset` exists. */
  readonly cpu?: number
  /** Runs in the control group that this `cgroup.procs` is of. */
  readonly cgroup?: string
}

export class ServiceProcess {
  readonly #child: ChildProcess
  readonly #exited: Promise<number | string>
  #output = ''

  constructor(service: ServiceCommand) {
    const [command, ...args] = grouped(
      service.cgroup,
      pinned(service.cpu, [service.command, ...service.args]),
    )
    this.#child = spawn(command!, args, {
      cwd: service.cwd,
      env: { ...process.env, ...service.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding('utf8')
      stream.on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-OUTPUT_CHARS_MAX)
      })
    }
    this.#exited = once(this.#child, 'close').then(([code, signal]) => code ?? signal)
  }

  /** taskset and nice replace themselves by what they start, so this is the server's own pid. */
  get pid(): number {
    const { pid } = this.#child
    if (pid === undefined) throw new Error(`the process did not start: ${this.#output}`)
    return pid
  }

  /** Standard output and error so far, the newest 256 KiB. */
  get output(): string {
    return this.#output
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Resolves when `url` answers 200. Rejects, with what the process printed, when it ends or the time is over. */
  async untilReady(url: string, timeoutMs = 30_000): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (performance.now() < deadline) {
      if (!this.isRunning)
        throw new Error(`ended with ${await this.#exited} before it was ready:\n${this.#output}`)
      try {
        const answer = await fetch(url, { signal: AbortSignal.timeout(1_000) })
        await answer.arrayBuffer()
        if (answer.status === 200) return
      } catch {
        // Not listening yet.
      }
      await sleep(POLL_MS)
    }
    throw new Error(`not ready after ${timeoutMs} ms at ${url}:\n${this.#output}`)
  }

  /** SIGTERM, then the exit code (or the signal's name). Past the time it is killed and 'SIGKILL' comes back. */
  async stop(timeoutMs = 30_000): Promise<number | string> {
    if (this.isRunning) this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), timeoutMs)
    const code = await this.#exited
    clearTimeout(timer)
    return code
  }

  /** SIGKILL, at once. */
  async kill(): Promise<void> {
    if (this.isRunning) this.#child.kill('SIGKILL')
    await this.#exited
  }
}

/** The command on one core, or as it is where there is no taskset or no such wish. */
export function pinned(cpu: number | undefined, command: readonly string[]): string[] {
  if (cpu === undefined || !existsSync('/usr/bin/taskset')) return [...command]
  return ['taskset', '-c', String(cpu), ...command]
}

/** The shell enters the group and is then replaced by the command, so the pid stays. */
function grouped(procs: string | undefined, command: readonly string[]): string[] {
  return procs === undefined ? [...command] : ['sh', '-c', 'echo $$ > "$0"; exec "$@"', procs, ...command]
}

/** Loopback ports that nobody listens on now; all are held until all are known, so they differ. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as AddressInfo).port) // listening on TCP, so never a path
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
  return ports
}

/** Polls until `holds` is true; rejects, naming what was waited for, when the time is over. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    if (await holds()) return
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await sleep(POLL_MS)
  }
}
