// A real sidecar process on free loopback ports in a temporary folder, for interop tests, slow tests and the bench.

import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type MetricSample, parseMetrics } from './metrics.ts'
import { freePorts, ServiceProcess } from './service-process.ts'

const LAUNCH = join(dirname(fileURLToPath(import.meta.url)), '../../src/launch.js')
export const ADMIN_TOKEN = 'interop-admin-token'

export interface SidecarSetup {
  /** The `exporters` section; paths in it may use `directory`. */
  readonly exporters: (directory: string) => Readonly<Record<string, unknown>>
  /** The `processors` section; every one of them is in the traces pipeline. Absent: the default pack and signing. */
  readonly processors?: Readonly<Record<string, unknown>>
  /** Laid over `storage: {directory}`. */
  readonly storage?: Readonly<Record<string, unknown>>
  /** Laid over the `service.limits` section. */
  readonly limits?: Readonly<Record<string, unknown>>
  readonly env?: Readonly<Record<string, string>>
  /** The `kms` section; absent: the local one. */
  readonly kms?: Readonly<Record<string, unknown>>
  /** Arguments to Node itself, for profiles. */
  readonly nodeArgs?: readonly string[]
  /** Starts this instead of the checkout's src/launch.js. */
  readonly launch?: string
  readonly cpu?: number
  /** Runs in the control group that this `cgroup.procs` is of. */
  readonly cgroup?: string
}

export interface SidecarPorts {
  readonly grpc: number
  readonly http: number
  readonly admin: number
}

/** Files and ports outlive the process, so that it can be killed and started again. */
export class Sidecar {
  readonly directory: string
  readonly dataDirectory: string
  readonly configFile: string
  readonly ports: SidecarPorts
  readonly #setup: SidecarSetup
  #process: ServiceProcess | undefined

  private constructor(directory: string, ports: SidecarPorts, setup: SidecarSetup) {
    this.directory = directory
    this.dataDirectory = join(directory, 'data')
    this.configFile = join(directory, 'sidecar.yaml')
    this.ports = ports
    this.#setup = setup
  }

  /** Starts one and resolves when it is ready. Close it with `remove`. */
  static async start(setup: SidecarSetup): Promise<Sidecar> {
    const directory = mkdtempSync(join(tmpdir(), 'betrace-sidecar-'))
    const [grpc, http, admin] = (await freePorts(3)) as [number, number, number] // as many as were asked for
    const sidecar = new Sidecar(directory, { grpc, http, admin }, setup)
    mkdirSync(sidecar.dataDirectory)
    // JSON is YAML.
    writeFileSync(sidecar.configFile, JSON.stringify(sidecar.#config(), undefined, 2))
    try {
      await sidecar.restart()
    } catch (error) {
      rmSync(directory, { recursive: true, force: true })
      throw error
    }
    return sidecar
  }

  get process(): ServiceProcess {
    if (this.#process === undefined) throw new Error('the sidecar was never started')
    return this.#process
  }

  get grpcEndpoint(): string {
    return `http://127.0.0.1:${this.ports.grpc}`
  }

  get httpEndpoint(): string {
    return `http://127.0.0.1:${this.ports.http}`
  }

  /** Starts the process on the same ports and data. The old one must have ended. */
  async restart(): Promise<void> {
    this.#process = new ServiceProcess({
      command: process.execPath,
      args: [
        ...(this.#setup.nodeArgs ?? []),
        this.#setup.launch ?? LAUNCH,
        'run',
        '--config',
        this.configFile,
      ],
      cwd: this.directory,
      env: { NODE_ENV: 'test', BETRACE_DEBUG: '1', ...this.#setup.env },
      ...(this.#setup.cpu === undefined ? {} : { cpu: this.#setup.cpu }),
      ...(this.#setup.cgroup === undefined ? {} : { cgroup: this.#setup.cgroup }),
    })
    try {
      await this.#process.untilReady(`http://127.0.0.1:${this.ports.admin}/q/health/ready`)
    } catch (error) {
      await this.#process.kill()
      throw error
    }
  }

  async metrics(): Promise<MetricSample> {
    const answer = await fetch(`http://127.0.0.1:${this.ports.admin}/q/metrics`)
    return parseMetrics(await answer.text())
  }

  /** Writes the tenant's public keys, as the admin endpoint gives them, and returns the file for `verify --keys`. */
  async exportKeys(tenant = 'default'): Promise<string> {
    const answer = await fetch(`http://127.0.0.1:${this.ports.admin}/api/tenants/${tenant}/public-keys`, {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    })
    if (answer.status !== 200) throw new Error(`public keys: ${answer.status} ${await answer.text()}`)
    const file = join(this.directory, `keys-${tenant}.json`)
    writeFileSync(file, await answer.text())
    return file
  }

  /** Stops the process, if it still runs, and deletes everything it wrote. */
  async remove(): Promise<void> {
    await this.#process?.stop()
    rmSync(this.directory, { recursive: true, force: true })
  }

  #config(): Record<string, unknown> {
    const { ports } = this
    const processors = this.#setup.processors ?? { pii: {}, signing: {} }
    const exporters = this.#setup.exporters(this.directory)
    const pipeline = {
      receivers: ['otlp'],
      processors: Object.keys(processors),
      exporters: Object.keys(exporters),
    }
    return {
      receivers: {
        otlp: {
          protocols: {
            grpc: { endpoint: `127.0.0.1:${ports.grpc}` },
            http: { endpoint: `127.0.0.1:${ports.http}` },
          },
        },
      },
      kms: this.#setup.kms ?? { provider: 'local' },
      processors,
      storage: { directory: this.dataDirectory, ...this.#setup.storage },
      exporters,
      service: {
        pipelines: { traces: pipeline },
        admin: { endpoint: `127.0.0.1:${ports.admin}`, token: ADMIN_TOKEN },
        limits: { ...this.#setup.limits },
        telemetry: { logs: { level: 'info', encoding: 'json' } },
      },
    }
  }
}

export interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs one `betrace` command to its end. */
export function betrace(...args: readonly string[]): Promise<CommandResult> {
  return new Promise((done) => {
    execFile(
      process.execPath,
      [LAUNCH, ...args],
      { maxBuffer: 256 * 1024 * 1024 },
      (error, stdout, stderr) => {
        // execFile's error holds the exit code as a number, or a string when the program could not start.
        done({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr })
      },
    )
  })
}
