// A sidecar with everything around it that can fail: AWS KMS (an emulator behind a fault proxy), a next hop whose answer
// the test decides, applications that send all the time, and a Prometheus that scrapes and judges.
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { ROOT } from '../../unit/deploy/operations-files.ts'
import { type Emulator, startMoto } from '../kms/aws-emulators.ts'
import { AwsAdmin, OWNER, REGION } from '../kms/aws-target.ts'
import { FaultProxy } from '../kms/fault-proxy.ts'
import { freePorts, ServiceProcess } from '../service-process.ts'
import { liveRules, SCRAPE_INTERVAL } from './live-rules.ts'

export const ADMIN_TOKEN = 'live-admin-token'
const LOAD_PAUSE_MS = 40
const OTLP = 'application/x-protobuf'

/** What the applications send: as three tenants, each request as another, or what nobody can read. */
export type Load = 'steady' | 'new tenants' | 'large' | 'malformed'

export class LiveSetup {
  readonly kms: FaultProxy
  readonly adminUrl: string
  nextHopStatus = 200
  load: Load = 'steady'
  readonly #folder: string
  readonly #emulator: Emulator
  readonly #nextHop: Server
  readonly #httpUrl: string
  readonly #prometheusUrl: string
  readonly #prometheus: ServiceProcess
  readonly #sidecarCommand: ConstructorParameters<typeof ServiceProcess>[0]
  #sidecar: ServiceProcess | undefined
  #sentCount = 0
  #isSending = true
  #sending: Promise<void> = Promise.resolve()

  static async start(prometheus: string): Promise<LiveSetup> {
    const emulator = await startMoto()
    const admin = new AwsAdmin(() => emulator)
    const masterKeyId = await admin.createKey({})
    admin.close()
    const kms = await FaultProxy.start({ upstream: emulator.url, layer: 'http' })
    const ports = (await freePorts(5)) as [number, number, number, number, number] // as many as were asked for
    const setup = new LiveSetup(prometheus, emulator, kms, masterKeyId, ports)
    try {
      await setup.startSidecar()
      await setup.#prometheus.untilReady(`${setup.#prometheusUrl}/-/ready`)
    } catch (error) {
      await setup.stop()
      throw error
    }
    setup.#sending = setup.#send()
    return setup
  }

  private constructor(
    prometheus: string,
    emulator: Emulator,
    kms: FaultProxy,
    masterKeyId: string,
    [http, admin, grpc, scraper, hop]: [number, number, number, number, number],
  ) {
    this.#emulator = emulator
    this.kms = kms
    this.#folder = mkdtempSync(join(tmpdir(), 'betrace-alerts-'))
    this.#httpUrl = `http://127.0.0.1:${http}`
    this.adminUrl = `http://127.0.0.1:${admin}`
    this.#prometheusUrl = `http://127.0.0.1:${scraper}`
    this.#nextHop = createServer((request, response) => {
      request.resume().on('end', () => response.writeHead(this.nextHopStatus, { 'content-type': OTLP }).end())
    }).listen(hop, '127.0.0.1')
    this.#sidecarCommand = this.#sidecarFor(masterKeyId, { http, admin, grpc, hop })
    this.#prometheus = this.#startPrometheus(prometheus, scraper, `127.0.0.1:${admin}`)
  }

  /** On the same data and ports. The old one must have ended. */
  async startSidecar(): Promise<void> {
    this.#sidecar = new ServiceProcess(this.#sidecarCommand)
    await this.#sidecar.untilReady(`${this.adminUrl}/q/health/ready`)
  }

  async stopSidecar(): Promise<void> {
    await this.#sidecar?.stop()
  }

  /** Names of the alerts that fire now. */
  async firing(): Promise<Set<string>> {
    const answer = await fetch(`${this.#prometheusUrl}/api/v1/alerts`)
    const { data } = (await answer.json()) as {
      data: { alerts: { state: string; labels: { alertname: string } }[] }
    }
    return new Set(
      data.alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels.alertname),
    )
  }

  admin(path: string, body?: object): Promise<Response> {
    return fetch(`${this.adminUrl}/api/admin/${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${ADMIN_TOKEN}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
  }

  /** What the sidecar and Prometheus printed, for a failure's message. */
  get output(): string {
    return `${this.#sidecar?.output.slice(-3_000)}\n${this.#prometheus.output.slice(-1_000)}`
  }

  async stop(): Promise<void> {
    this.#isSending = false
    await this.#sending
    await this.#sidecar?.stop()
    await this.#prometheus.stop(10_000)
    await this.kms.close()
    await this.#emulator.stop()
    this.#nextHop.closeAllConnections()
    this.#nextHop.close()
    await once(this.#nextHop, 'close')
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #sidecarFor(
    masterKeyId: string,
    ports: Record<'http' | 'admin' | 'grpc' | 'hop', number>,
  ): ConstructorParameters<typeof ServiceProcess>[0] {
    const sets = [
      `receivers.otlp.protocols.grpc.endpoint=127.0.0.1:${ports.grpc}`,
      `receivers.otlp.protocols.http.endpoint=127.0.0.1:${ports.http}`,
      `service.admin.endpoint=127.0.0.1:${ports.admin}`,
      'service.limits.wait_max=2s',
      'kms.provider=aws',
      `kms.aws.master_key_id=${masterKeyId}`,
      `kms.aws.region=${REGION}`,
      `kms.aws.endpoint=${this.kms.url}`,
      'kms.request.max_attempts=1',
      'kms.cache.max_size=5',
      `storage.directory=${join(this.#folder, 'data')}`,
      'receivers.otlp.protocols.grpc.max_recv_msg_size_mib=1',
      'receivers.otlp.protocols.http.max_request_body_size_mib=1',
      'storage.queue_bytes_max=4MiB',
      'storage.evidence_bytes_max=64MiB',
      `exporters.otlp_http/next.endpoint=http://127.0.0.1:${ports.hop}`,
      'exporters.otlp_http/next.retry_on_failure.initial_interval=100ms',
      'exporters.otlp_http/next.retry_on_failure.max_interval=200ms',
      'service.pipelines.traces.exporters=[otlp_http/next]',
    ]
    return {
      command: process.execPath,
      args: [
        join(ROOT, 'src/launch.js'),
        'run',
        '--config',
        join(ROOT, 'collector-config.yaml'),
        ...sets.flatMap((set) => ['--set', set]),
      ],
      cwd: this.#folder,
      env: {
        NODE_ENV: 'production',
        ADMIN_TOKEN,
        AWS_ACCESS_KEY_ID: OWNER.accessKeyId,
        AWS_SECRET_ACCESS_KEY: OWNER.secretAccessKey,
      },
    }
  }

  #startPrometheus(command: string, port: number, target: string): ServiceProcess {
    const data = join(this.#folder, 'prometheus')
    mkdirSync(data)
    writeFileSync(join(this.#folder, 'rules.yaml'), liveRules())
    const config = join(this.#folder, 'prometheus.yaml')
    writeFileSync(
      config,
      stringify({
        global: {
          scrape_interval: SCRAPE_INTERVAL,
          scrape_timeout: SCRAPE_INTERVAL,
          evaluation_interval: SCRAPE_INTERVAL,
        },
        rule_files: ['rules.yaml'],
        scrape_configs: [
          { job_name: 'betrace', metrics_path: '/q/metrics', static_configs: [{ targets: [target] }] },
        ],
      }),
    )
    return new ServiceProcess({
      command,
      args: [
        `--config.file=${config}`,
        `--storage.tsdb.path=${data}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      cwd: this.#folder,
    })
  }

  /** Eight applications, each one request at a time; answers and refusals are the sidecar's to count. */
  async #send(): Promise<void> {
    const application = async (): Promise<void> => {
      while (this.#isSending) {
        await this.#sendOne().catch(() => undefined) // the sidecar may be stopped
        await sleep(LOAD_PAUSE_MS)
      }
    }
    await Promise.all(Array.from({ length: 8 }, application))
  }

  async #sendOne(): Promise<void> {
    const count = this.#sentCount++
    const tenant = this.load === 'new tenants' ? `new-${count}` : `steady-${count % 3}`
    const isMalformed = this.load === 'malformed' && count % 2 === 0
    const answer = await fetch(`${this.#httpUrl}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-betrace-tenant': tenant },
      body: isMalformed ? '{' : request(this.load === 'large' ? 60_000 : 10),
      signal: AbortSignal.timeout(10_000),
    })
    await answer.arrayBuffer()
  }
}

function request(noteChars: number): string {
  const span = {
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    name: 'pay',
    startTimeUnixNano: '1',
    endTimeUnixNano: '2',
    attributes: [
      { key: 'compliance.framework', value: { stringValue: 'soc2' } },
      { key: 'from', value: { stringValue: 'ada@clinic.example' } },
      { key: 'filler', value: { stringValue: 'x'.repeat(noteChars) } },
    ],
  }
  return JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] })
}
