// A real OpenTelemetry Collector process with a given configuration.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts, ServiceProcess } from './service-process.ts'
import { install } from './tools.ts'

export interface CollectorSetup {
  /** Sections of its configuration, without receivers and the health check. `directory` is its own to write in. */
  readonly config: (directory: string) => {
    readonly processors?: Readonly<Record<string, unknown>>
    readonly exporters: Readonly<Record<string, unknown>>
    readonly extensions?: Readonly<Record<string, unknown>>
  }
  readonly cpu?: number
}

/** Files and ports outlive the process, so that it can be killed and started again. */
export class Collector {
  readonly directory: string
  readonly ports: { readonly grpc: number; readonly http: number }
  readonly #setup: CollectorSetup
  readonly #command: string
  readonly #configFile: string
  readonly #healthPort: number
  #process: ServiceProcess | undefined

  private constructor(command: string, directory: string, ports: readonly number[], setup: CollectorSetup) {
    this.#command = command
    this.directory = directory
    this.ports = { grpc: ports[0]!, http: ports[1]! }
    this.#healthPort = ports[2]!
    this.#setup = setup
    this.#configFile = join(directory, 'collector.yaml')
  }

  /** Installs the Collector when it is not there yet, starts it and resolves when it is ready. */
  static async start(setup: CollectorSetup): Promise<Collector> {
    const { command } = await install('collector')
    const collector = new Collector(
      command,
      mkdtempSync(join(tmpdir(), 'betrace-collector-')),
      await freePorts(3),
      setup,
    )
    writeFileSync(collector.#configFile, JSON.stringify(collector.#config(), undefined, 2))
    try {
      await collector.restart()
    } catch (error) {
      rmSync(collector.directory, { recursive: true, force: true })
      throw error
    }
    return collector
  }

  get process(): ServiceProcess {
    if (this.#process === undefined) throw new Error('the collector was never started')
    return this.#process
  }

  async restart(): Promise<void> {
    this.#process = new ServiceProcess({
      command: this.#command,
      args: ['--config', this.#configFile],
      cwd: this.directory,
      ...(this.#setup.cpu === undefined ? {} : { cpu: this.#setup.cpu }),
    })
    try {
      await this.#process.untilReady(`http://127.0.0.1:${this.#healthPort}/`)
    } catch (error) {
      await this.#process.kill()
      throw error
    }
  }

  /** Stops the process, if it still runs, and deletes everything it wrote. */
  async remove(): Promise<void> {
    await this.#process?.stop()
    rmSync(this.directory, { recursive: true, force: true })
  }

  #config(): Record<string, unknown> {
    const { processors = {}, exporters, extensions = {} } = this.#setup.config(this.directory)
    const health = { health_check: { endpoint: `127.0.0.1:${this.#healthPort}` } }
    return {
      receivers: {
        otlp: {
          protocols: {
            grpc: { endpoint: `127.0.0.1:${this.ports.grpc}`, max_recv_msg_size_mib: 64 },
            http: { endpoint: `127.0.0.1:${this.ports.http}` },
          },
        },
      },
      processors,
      exporters,
      extensions: { ...health, ...extensions },
      service: {
        extensions: Object.keys({ ...health, ...extensions }),
        pipelines: {
          traces: {
            receivers: ['otlp'],
            processors: Object.keys(processors),
            exporters: Object.keys(exporters),
          },
        },
        telemetry: { logs: { level: 'warn' }, metrics: { level: 'none' } },
      },
    }
  }
}
