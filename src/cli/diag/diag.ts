// `betrace diag`: one archive for who helps during an incident. It holds what the sidecar says of itself and how it is
// configured, with every secret masked, and never keys, values or telemetry. Exit codes: 0 everything is in it, 1 some of it
// is missing, 2 it could not be written, 3 usage.
import { open, writeFile } from 'node:fs/promises'
import os from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'
import { type Clock, systemClock } from '../../base/clock.ts'
import { asSidecarError } from '../../base/errors.ts'
import { VERSION } from '../../base/version.ts'
import type { LoadedConfig } from '../../config/load.ts'
import { printConfig } from '../../config/print.ts'
import { maskUrlCredentials, REDACTED, Secret, urlCredentials } from '../../config/secret.ts'
import { formatProblem } from '../../config/tree.ts'
import { CONFIG_OPTIONS, CONFIG_OPTIONS_HELP, configArgvOf, loadFromArguments } from '../config-options.ts'
import { reportUsage } from '../help.ts'
import { type CommandIo, ExitCode } from '../terminal.ts'
import { disagreement, fieldsOf, type RunningKms, runningKms } from './configuration-check.ts'
import { askSidecar, type Collected } from './sidecar-answers.ts'
import { ustar } from './ustar.ts'

const USAGE = `Usage: betrace diag [--url URL] [--out FILE] [--log FILE] [--validate]
                    [--config FILE]…

Collects a diagnostics bundle: configuration (secrets masked), health, metrics,
key service status, last errors, versions. Needs ADMIN_TOKEN for the status.
  --url URL            the sidecar's admin endpoint; default: that of the
                       configuration, else http://127.0.0.1:8080
  --out FILE           default: betrace-diag-<date>-<time>.tar.gz; never
                       overwritten
  --log FILE           also the end of the sidecar's log
  --validate           also runs the five tests of the key service, which it
                       will count
${CONFIG_OPTIONS_HELP}Exit codes: 0 complete, 1 something is missing, 2 cannot be written, 3 usage.
`

const URL_DEFAULT = 'http://127.0.0.1:8080'
const LOG_BYTES_MAX = 1024 * 1024
/** Shorter secrets would be found everywhere; configuration masks those by place. */
const SCRUBBED_CHARS_MIN = 6

interface DiagArguments {
  readonly url: string | undefined
  readonly out: string | undefined
  readonly log: string | undefined
  readonly isValidating: boolean
  readonly configArgv: readonly string[]
}

export async function diag(argv: string[], io: CommandIo, clock: Clock = systemClock): Promise<number> {
  if (argv.includes('--help')) {
    io.stdout.write(USAGE)
    return ExitCode.GOOD
  }
  const parsed = readArguments(argv)
  if (parsed === undefined) {
    return reportUsage(io, 'diag', 'unknown or incomplete option')
  }
  const loaded = await loadConfiguration(parsed.configArgv, io)
  const config = 'effective' in loaded ? loaded : undefined
  const admin = adminSettings(config)
  const url = parsed.url ?? admin.url
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    io.stderr.write('betrace diag: --url must start with http:// or https://\n')
    return ExitCode.USAGE
  }
  const token = io.env.ADMIN_TOKEN || admin.token
  const answers = await askSidecar({ url, token, isValidating: parsed.isValidating })
  const { status, checks } = understood(answers)
  const running = runningKms(status, checks)
  const collected = [configFile(loaded, running), ...answers, errorsFile(answers)]
  if (parsed.log !== undefined) collected.push(await logFile(resolve(io.cwd, parsed.log)))
  const manifest = await manifestFile(collected, url, io, clock)

  const secrets = knownSecrets(config, io.env)
  const date = new Date(clock.nowMs()).toISOString().replaceAll(/[-:]/g, '')
  const folder = `betrace-diag-${date.slice(0, 8)}-${date.slice(9, 15)}`
  const files = [manifest, ...collected].flatMap(({ name, text }) =>
    text === undefined ? [] : [{ name: `${folder}/${name}`, content: Buffer.from(scrubbed(text, secrets)) }],
  )
  const path = resolve(io.cwd, parsed.out ?? `${folder}.tar.gz`)
  try {
    await writeFile(path, gzipSync(ustar(files, clock.nowMs())), { mode: 0o600, flag: 'wx' })
  } catch (thrown) {
    const isThere = thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST'
    io.stderr.write(`betrace diag: the bundle ${isThere ? 'exists already' : 'cannot be written'}: ${path}\n`)
    return ExitCode.CANNOT_TELL
  }
  io.stdout.write(`${path}\n`)
  return report(collected, secrets, io)
}

function report(collected: readonly Collected[], secrets: readonly string[], io: CommandIo): number {
  const missing = collected.filter(({ problem }) => problem !== undefined)
  for (const { name, problem } of missing)
    io.stderr.write(`betrace diag: ${name}: ${scrubbed(problem!, secrets)}\n`)
  return missing.length === 0 ? ExitCode.GOOD : ExitCode.FAILED
}

/** Without a configuration the rest is still worth having. */
async function loadConfiguration(
  configArgv: readonly string[],
  io: CommandIo,
): Promise<LoadedConfig | { readonly problem: string }> {
  try {
    return await loadFromArguments(configArgv, io)
  } catch (thrown) {
    const error = asSidecarError(thrown)
    if (error.code === 'INTERNAL') throw thrown
    return { problem: error.message }
  }
}

const CONFIG_HEAD = `# The configuration as betrace diag read it, from the options and the environment of its own shell. Whether the running
# sidecar has the same was only checked for the key service; manifest.json has the outcome.
`

function configFile(
  loaded: LoadedConfig | { readonly problem: string },
  running: RunningKms | undefined,
): Collected {
  const name = 'config.yaml'
  if (!('effective' in loaded)) return { name, text: undefined, problem: loaded.problem }
  const findings = [...loaded.problems, ...loaded.warnings].map((finding) => `# ${formatProblem(finding)}\n`)
  const problems = [
    ...(loaded.problems.length === 0 ? [] : ['the configuration has problems']),
    ...[disagreement(loaded.effective, running) ?? []].flat(),
  ]
  return {
    name,
    text: CONFIG_HEAD + findings.join('') + printConfig(loaded.effective),
    problem: problems.length === 0 ? undefined : problems.join('; '),
  }
}

/** Read from what was understood, so that a configuration with problems elsewhere still finds its own sidecar. */
function adminSettings(loaded: LoadedConfig | undefined): { url: string; token: string | undefined } {
  const setting = (name: string): unknown =>
    ['service', 'admin', name].reduce<unknown>(
      (value, key) => (value instanceof Map ? value.get(key) : undefined),
      loaded?.effective,
    )
  const token = setting('token')
  const endpoint = setting('endpoint')
  const match = typeof endpoint === 'string' ? /^(.*):(\d+)$/.exec(endpoint) : null
  const host = match === null || /^(?:0\.0\.0\.0|\[::\]|)$/.test(match[1]!) ? '127.0.0.1' : match[1]
  return {
    url: match === null ? URL_DEFAULT : `http://${host}:${match[2]}`,
    token: token instanceof Secret ? token.reveal() || undefined : undefined,
  }
}

const TROUBLE =
  /^(?:kms_errors_total|kms_rotation_failures_total|circuit_breaker_(?:state|rejections_total)|betrace_items_(?:rejected|dropped)_total|otelcol_\w*(?:failed|refused)\w*)(?:\{| )/

/** What went wrong, in one place: the counters that moved, and what the status says. */
function errorsFile(answers: readonly Collected[]): Collected {
  const counters = textOf(answers, 'metrics.txt')
    .split('\n')
    .filter((line) => TROUBLE.test(line) && !/ 0$/.test(line))
  const { status, checks } = understood(answers)
  const errors = {
    down: checks.filter((check) => fieldsOf(check).status !== 'UP'),
    last_error: status.last_error ?? null,
    not_closed: status.not_closed ?? [],
    issues: status.issues ?? [],
    counters,
  }
  return { name: 'errors.json', text: `${JSON.stringify(errors, undefined, 2)}\n`, problem: undefined }
}

/** What of status and health could be understood. */
function understood(answers: readonly Collected[]): {
  status: Record<string, unknown>
  checks: readonly unknown[]
} {
  const { checks } = parsedObject(textOf(answers, 'health.json'))
  return {
    status: parsedObject(textOf(answers, 'kms-status.json')),
    checks: Array.isArray(checks) ? checks : [],
  }
}

function textOf(answers: readonly Collected[], name: string): string {
  return answers.find((each) => each.name === name)?.text ?? ''
}

function parsedObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** The newest part of a log, from a line's beginning on. */
async function logFile(path: string): Promise<Collected> {
  const name = 'log.txt'
  try {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      const from = Math.max(0, size - LOG_BYTES_MAX)
      const bytes = Buffer.alloc(size - from)
      const { bytesRead } = await file.read(bytes, 0, bytes.length, from)
      const text = bytes.toString('utf8', 0, bytesRead)
      return { name, text: from === 0 ? text : text.slice(text.indexOf('\n') + 1), problem: undefined }
    } finally {
      await file.close()
    }
  } catch {
    return { name, text: undefined, problem: 'the log cannot be read' }
  }
}

async function manifestFile(
  collected: readonly Collected[],
  url: string,
  io: CommandIo,
  clock: Clock,
): Promise<Collected> {
  const manifest = {
    createdAt: new Date(clock.nowMs()).toISOString(),
    url: maskUrlCredentials(url),
    versions: { betrace: VERSION, node: process.version },
    host: { platform: process.platform, arch: process.arch, release: os.release(), cpus: os.cpus().length },
    // Names only: which of them are set says where settings and credentials come from.
    environment: Object.keys(io.env)
      .filter((name) => /^(?:BETRACE|KMS|AWS|VAULT|GCP|GOOGLE|AZURE|NODE|ADMIN)[_.]/i.test(name))
      .sort(),
    files: Object.fromEntries(collected.map(({ name, problem }) => [name, problem ?? 'complete'])),
  }
  return { name: 'manifest.json', text: `${JSON.stringify(manifest, undefined, 2)}\n`, problem: undefined }
}

/** Every secret that this command can know of. It masks by place already; this is the second line. */
function knownSecrets(loaded: LoadedConfig | undefined, env: CommandIo['env']): readonly string[] {
  const found = new Set<string>()
  const walk = (value: unknown): void => {
    if (value instanceof Secret) found.add(value.reveal())
    else if (typeof value === 'string') for (const part of urlCredentials(value)) found.add(part)
    else if (value instanceof Map || Array.isArray(value)) for (const item of value.values()) walk(item)
    else if (typeof value === 'object' && value !== null) for (const item of Object.values(value)) walk(item)
  }
  walk(loaded?.effective)
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && /TOKEN|SECRET|PASSWORD|ACCESS_KEY|CREDENTIAL/.test(name)) found.add(value)
  }
  // The longest first, or a part of one would leave the rest of another.
  return [...found]
    .filter((secret) => secret.length >= SCRUBBED_CHARS_MIN)
    .sort((a, b) => b.length - a.length)
}

function scrubbed(text: string, secrets: readonly string[]): string {
  return secrets.reduce((clean, secret) => clean.replaceAll(secret, REDACTED), text)
}

function readArguments(argv: readonly string[]): DiagArguments | undefined {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        url: { type: 'string' },
        out: { type: 'string' },
        log: { type: 'string' },
        validate: { type: 'boolean' },
        ...CONFIG_OPTIONS,
      },
      strict: true,
      allowPositionals: false,
    })
    return {
      url: values.url,
      out: values.out,
      log: values.log,
      isValidating: values.validate === true,
      configArgv: configArgvOf(values),
    }
  } catch {
    return undefined
  }
}
