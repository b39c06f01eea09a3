// A whole sidecar in the test's own process, on free ports and a folder of its own, with its log in memory.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { createTelemetry } from '../../../src/base/telemetry.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { Service, type Surroundings } from '../../../src/service/service.ts'

export interface TestSidecar {
  readonly service: Service
  readonly folder: string
  readonly log: () => string
  readonly httpUrl: string
  readonly grpcAddress: string
  readonly adminUrl: string
  get(path: string, init?: RequestInit): Promise<Response>
  post(
    path: string,
    body: Uint8Array | string,
    contentType: string,
    headers?: Record<string, string>,
  ): Promise<Response>
  /** A counter's or gauge's value, summed over labels that contain the text. */
  metric(name: string, label?: string): Promise<number>
  /** Until the predicate holds; fails after ten seconds. */
  until(claim: string, predicate: () => Promise<boolean> | boolean): Promise<void>
  stop(): Promise<boolean>
  remove(): void
}

const BASE = [
  'receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0',
  'receivers.otlp.protocols.http.endpoint=127.0.0.1:0',
  'service.admin.endpoint=127.0.0.1:0',
  'service.admin.token=test-admin-token',
  'service.telemetry.logs.level=debug',
]

export async function startSidecar(
  sets: readonly string[] = [],
  folder = mkdtempSync(join(tmpdir(), 'betrace-test-')),
  around: Partial<Pick<Surroundings, 'clock' | 'openKms'>> = {},
): Promise<TestSidecar> {
  const root = join(import.meta.dirname, '../../..')
  const { config, problems } = await loadConfig({
    files: [join(root, 'collector-config.yaml')],
    sets: [
      ...BASE,
      `storage.directory=${join(folder, 'data')}`,
      `exporters.file/out.path=${join(folder, 'out.jsonl')}`,
      ...sets,
    ],
    env: {},
    cwd: root,
  })
  if (config === undefined)
    throw new Error(`configuration: ${problems.map(({ path, message }) => `${path}: ${message}`).join('; ')}`)
  const lines: string[] = []
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    },
  })
  const telemetry = await createTelemetry({ level: 'debug', encoding: 'json', destination })
  const service = await Service.start(config, { ...telemetry, env: {}, ...around })
  const { receivers, admin } = service.addresses
  const httpUrl = `http://127.0.0.1:${receivers.get('http')?.port}`
  const adminUrl = `http://127.0.0.1:${admin.port}`
  const get = (path: string, init: RequestInit = {}): Promise<Response> => fetch(adminUrl + path, init)
  const metric = async (name: string, label = ''): Promise<number> =>
    sumOf(await (await get('/q/metrics')).text(), name, label)
  return {
    service,
    folder,
    log: () => lines.join(''),
    httpUrl,
    grpcAddress: `127.0.0.1:${receivers.get('grpc')?.port}`,
    adminUrl,
    get,
    post: (path, body, contentType, headers = {}) =>
      // Node's Buffer is a body, whatever the DOM types think of its memory.
      fetch(httpUrl + path, {
        method: 'POST',
        body: body as NonNullable<RequestInit['body']>,
        headers: { 'content-type': contentType, ...headers },
      }),
    metric,
    async until(claim, predicate) {
      const deadlineMs = performance.now() + 10_000
      while (!(await predicate())) {
        if (performance.now() > deadlineMs) throw new Error(`never became true: ${claim}`)
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    },
    stop: () => service.stop(),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

function sumOf(page: string, name: string, label: string): number {
  return page
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => line.includes(label))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** The sum that always holds when nothing is in flight, for one signal: of one page, since items move between two. */
export async function expectBooksToBalance(sidecar: TestSidecar, signal: string): Promise<void> {
  let page = ''
  const of = (name: string): number => sumOf(page, `betrace_items_${name}`, `signal="${signal}"`)
  await sidecar.until(`${signal}: nothing in flight`, async () => {
    page = await (await sidecar.get('/q/metrics')).text()
    return of('in_flight') === 0
  })
  const accepted = of('accepted_total') + of('recovered_total')
  const elsewhere = of('exported_total') + of('queued') + of('rejected_total') + of('dropped_total')
  if (accepted !== elsewhere) throw new Error(`${signal}: accepted ${accepted}, accounted for ${elsewhere}`)
}
