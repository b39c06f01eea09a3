// `betrace demo`: the promises of the README, kept in front of your eyes. Everything is real: the sidecar runs as a
// process of its own, three programs send it traces with the OpenTelemetry SDK, and the claims are checked with the
// same commands that an auditor would type. A claim that fails makes the demo exit 1.
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { readFigures, sumOf } from './figures.ts'
import { Printer } from './printer.ts'
import { type Finished, freePorts, Workspace } from './workspace.ts'

interface Io {
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
}

interface Recorded {
  readonly traceId: string
  readonly spanId: string
  readonly name: string
  readonly attributes: Record<string, unknown>
}

const source = resolve(import.meta.dirname)
const launch = resolve(source, '../../launch.js')
const PROGRAMS = [
  { file: 'checkout', transport: 'gRPC', shows: 'a card number and an e-mail in a URL' },
  { file: 'patient-portal', transport: 'HTTP/protobuf', shows: 'compliance.* spans' },
  { file: 'reports', transport: 'HTTP/JSON', shows: 'a name and an IP in SQL text' },
] as const
const USAGE = 'Usage: betrace demo [--keep]\n\n  --keep   leave the sidecar running and its folder in place\n'

export async function demo(argv: readonly string[], io: Io): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    io.stdout.write(USAGE)
    return 0
  }
  if (!existsSync(join(source, 'checkout.ts'))) {
    io.stderr.write('the demo needs the OpenTelemetry SDK and runs from a checkout: npm ci && npm run demo\n')
    return 1
  }
  const workspace = new Workspace()
  const interrupted = (): void => void workspace.close().finally(() => process.exit(130))
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
  try {
    const show = new Show(workspace, new Printer(io.stdout), values.keep)
    return (await show.run()) ? 0 : 1
  } finally {
    if (!values.keep) await workspace.close()
    process.removeListener('SIGINT', interrupted).removeListener('SIGTERM', interrupted)
  }
}

class Show {
  readonly #workspace: Workspace
  readonly #print: Printer
  readonly #isKept: boolean
  readonly #output: string
  readonly #config: string
  #ports: readonly number[] = []

  constructor(workspace: Workspace, print: Printer, isKept: boolean) {
    this.#workspace = workspace
    this.#print = print
    this.#isKept = isKept
    this.#output = join(workspace.folder, 'out.jsonl')
    this.#config = join(workspace.folder, 'config.yaml')
  }

  async run(): Promise<boolean> {
    const print = this.#print
    print.title('BeTrace Sidecar, end to end on this machine')
    await this.#startSidecar()
    const recorded = await this.#runPrograms()
    await this.#untilExported()
    this.#showSpan(recorded)
    await this.#showVerify()
    await this.#showReveal(recorded)
    await this.#showFigures()
    this.#showWhere()
    return print.allTrue()
  }

  async #startSidecar(): Promise<void> {
    this.#ports = await freePorts(3)
    const [grpc, http, admin] = this.#ports
    writeFileSync(this.#config, configuration(this.#workspace.folder, this.#output, grpc!, http!, admin!))
    const log = openSync(join(this.#workspace.folder, 'sidecar.log'), 'w')
    const child = this.#workspace.start(launch, ['run', '--config', this.#config], {}, log, this.#isKept)
    closeSync(log)
    const startedMs = performance.now()
    while (performance.now() - startedMs < 10_000 && child.exitCode === null) {
      if ((await this.#get('/q/health/ready').catch(() => undefined))?.ok) {
        this.#print.claim(
          true,
          `sidecar ready after ${Math.round(performance.now() - startedMs)} ms: local key service, store, file exporter`,
        )
        return
      }
      await sleep(25)
    }
    throw new Error(
      `the sidecar did not become ready; its log:\n${readFileSync(join(this.#workspace.folder, 'sidecar.log'), 'utf8')}`,
    )
  }

  async #runPrograms(): Promise<Map<string, Recorded>> {
    const [grpc, http] = this.#ports
    this.#print.line(
      '  rules: the default pack, and two of our own for names (no pack finds names in free text)',
    )
    const recorded = new Map<string, Recorded>()
    await Promise.all(
      PROGRAMS.map(async ({ file, transport, shows }) => {
        const url = `http://127.0.0.1:${transport === 'gRPC' ? grpc : http}`
        const done = await this.#workspace.run(join(source, `${file}.ts`), [], {
          OTEL_EXPORTER_OTLP_ENDPOINT: url,
        })
        const isSent = done.code === 0 && done.stderr === ''
        this.#print.claim(isSent, `${file} sent its spans by ${transport}: ${shows}`)
        if (!isSent) this.#print.detail(done.stderr)
        else recorded.set(file, JSON.parse(done.stdout.split('\n')[0]!))
      }),
    )
    return recorded
  }

  async #untilExported(): Promise<void> {
    const deadlineMs = performance.now() + 10_000
    let page = ''
    do {
      page = await (await this.#get('/q/metrics')).text()
      const accepted = sumOf(page, 'betrace_items_accepted_total', 'traces')
      if (accepted > 0 && accepted === sumOf(page, 'betrace_items_exported_total', 'traces')) {
        this.#print.claim(
          true,
          `${accepted} spans accepted = ${accepted} exported, 0 queued, 0 rejected, 0 dropped`,
        )
        return
      }
      await sleep(50)
    } while (performance.now() < deadlineMs)
    this.#print.claim(false, 'every accepted span was exported')
  }

  #showSpan(recorded: ReadonlyMap<string, Recorded>): void {
    const print = this.#print
    const text = readFileSync(this.#output, 'utf8')
    for (const file of ['checkout', 'reports']) {
      const before = recorded.get(file)
      const after = before && findSpan(text, before.spanId)
      if (!before || !after) {
        print.claim(false, `the span of ${file} arrived downstream`)
        continue
      }
      print.heading(`A span of ${file}, before and after`)
      for (const [key, value] of Object.entries(before.attributes)) {
        const sealed = after.get(key) ?? '(dropped)'
        if (String(value) === sealed) continue
        print.pair(`${key}`, String(value), sealed)
      }
    }
    print.heading('What holds now')
    const planted = [
      '4111111111111111',
      'alice.martin',
      'Erika Mustermann',
      'erika.m@',
      '198.51.100.',
      '203.0.113.42',
      'dr.weiss@',
    ]
    const leaked = planted.filter(
      (secret) =>
        text.includes(secret) ||
        readFileSync(join(this.#workspace.folder, 'sidecar.log'), 'utf8').includes(secret),
    )
    print.claim(
      leaked.length === 0,
      `none of ${planted.length} planted values is in the output or the log${leaked.length > 0 ? `: found ${leaked.join(', ')}` : ''}`,
    )
  }

  async #showVerify(): Promise<void> {
    const keys = join(this.#workspace.folder, 'keys.json')
    writeFileSync(keys, await (await this.#get('/api/tenants/default/public-keys', true)).text())
    const honest = await this.#command('verify', '--trust', keys, this.#output)
    this.#print.claim(honest.code === 0, 'verify: every signed span is what was signed')
    if (honest.code !== 0) this.#print.detail(honest.stdout + honest.stderr)

    const forged = join(this.#workspace.folder, 'forged.jsonl')
    const text = readFileSync(this.#output, 'utf8')
    writeFileSync(forged, text.replace('"granted"', '"grantee"'))
    const caught = await this.#command('verify', '--trust', keys, forged)
    const isNamed = caught.code === 1 && /record\.read/.test(caught.stdout)
    this.#print.claim(isNamed, 'verify: one byte changed in compliance.outcome, and the span is named')
    this.#print.detail(
      caught.stdout
        .split('\n')
        .filter((line) => /tampered/i.test(line))
        .slice(0, 3)
        .join('\n'),
    )
  }

  async #showReveal(recorded: ReadonlyMap<string, Recorded>): Promise<void> {
    const key = join(this.#workspace.folder, 'data/local-kms.key')
    const revealed = await this.#command('reveal', '--kms.local.key-file', key, this.#output)
    const url = String(recorded.get('checkout')?.attributes['url.full'])
    const email = /email=([^&]+)/.exec(url)?.[1] ?? url
    const isBack = revealed.code === 0 && revealed.stdout.includes(email)
    this.#print.claim(isBack, `reveal: with the key service alone, ${email} is back`)
    if (!isBack) this.#print.detail((revealed.stderr || revealed.stdout).slice(0, 400))
  }

  async #showFigures(): Promise<void> {
    const figures = readFigures(await (await this.#get('/q/metrics')).text())
    this.#print.heading('Figures of this run')
    this.#print.line(
      `  ${figures.requests} requests, durable on disk: half under ${figures.p50Ms} ms, 99 % under ${figures.p99Ms} ms`,
    )
    this.#print.line(
      `  key cache: ${(figures.hitRatio * 100).toFixed(2)} % of ${figures.lookups} look-ups hit; ${figures.keyServiceCalls} calls to the key service`,
    )
  }

  #showWhere(): void {
    const [grpc, http, admin] = this.#ports
    this.#print.heading(this.#isKept ? 'Still running' : 'Where to look (with --keep it stays)')
    this.#print.line(`  health    http://127.0.0.1:${admin}/q/health/ready`)
    this.#print.line(`  metrics   http://127.0.0.1:${admin}/q/metrics`)
    this.#print.line(`  OTLP      gRPC 127.0.0.1:${grpc}, HTTP 127.0.0.1:${http}`)
    if (this.#isKept) {
      this.#print.line(`  folder    ${this.#workspace.folder}`)
      this.#workspace.keep()
    }
  }

  #get(path: string, isAdmin = false): Promise<Response> {
    const headers = isAdmin ? { authorization: 'Bearer demo' } : undefined
    return fetch(`http://127.0.0.1:${this.#ports[2]}${path}`, {
      ...(headers && { headers }),
      signal: AbortSignal.timeout(2_000),
    })
  }

  #command(...args: string[]): Promise<Finished> {
    return this.#workspace.run(launch, args, { NO_COLOR: '1' })
  }
}

function configuration(folder: string, output: string, grpc: number, http: number, admin: number): string {
  return `receivers:
  otlp:
    protocols:
      grpc: { endpoint: "127.0.0.1:${grpc}" }
      http: { endpoint: "127.0.0.1:${http}" }
processors:
  pii:
    rules:
      - { name: names, match: { key: [enduser.name] }, action: encrypt, class: name }
      - { name: names in sql, match: { key: [db.query.text], pattern: ["'[A-Z][a-z]+ [A-Z][a-z]+'"] }, action: encrypt, class: name }
  signing: {}
exporters:
  file/out: { path: ${JSON.stringify(output)} }
storage: { directory: ${JSON.stringify(join(folder, 'data'))} }
service:
  pipelines:
    traces: { receivers: [otlp], processors: [pii, signing], exporters: [file/out] }
  admin: { endpoint: "127.0.0.1:${admin}", token: demo }
  telemetry: { logs: { encoding: json } }
`
}

/** The attributes of one span of an OTLP/JSON file, as text. */
function findSpan(text: string, spanId: string): Map<string, string> | undefined {
  const line = text.split('\n').find((each) => each.includes(`"${spanId}"`))
  if (line === undefined) return undefined
  for (const group of JSON.parse(line).resourceSpans)
    for (const scope of group.scopeSpans)
      for (const span of scope.spans) {
        if (span.spanId !== spanId) continue
        return new Map(
          span.attributes.map(({ key, value }: { key: string; value: Record<string, unknown> }) => [
            key,
            String(Object.values(value)[0]),
          ]),
        )
      }
  return undefined
}
