import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { type ConfigSources, loadConfig } from '../../../src/config/load.ts'
import { printConfig } from '../../../src/config/print.ts'
import { formatProblem } from '../../../src/config/tree.ts'

const root = resolve(import.meta.dirname, '../../..')
const MINIMAL = `
receivers: { otlp: }
processors: { pii: }
exporters: { debug: }
service: { pipelines: { traces: { receivers: [otlp], processors: [pii], exporters: [debug] } } }
`
let folder = ''
let fileCount = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'betrace-config-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
})

async function file(text: string): Promise<string> {
  const name = `${fileCount++}.txt`
  await writeFile(join(folder, name), text)
  return name
}

async function load(texts: readonly string[], more: Partial<ConfigSources> = {}) {
  const files = await Promise.all([MINIMAL, ...texts].map(file))
  return loadConfig({ files, sets: [], env: {}, cwd: folder, ...more })
}

async function loadGood(texts: readonly string[], more: Partial<ConfigSources> = {}) {
  const loaded = await load(texts, more)
  expect(loaded.problems.map(formatProblem)).toEqual([])
  return loaded.config!
}

test('the file with every default loads without a problem or a warning', async () => {
  const loaded = await loadConfig({ files: ['collector-config.yaml'], sets: [], env: {}, cwd: root })
  expect(loaded.problems).toEqual([])
  expect(loaded.warnings).toEqual([])
})

test('leaving everything out gives what the file with every default says', async () => {
  const written = await loadConfig({ files: ['collector-config.yaml'], sets: [], env: {}, cwd: root })
  const shortest = await file(`
receivers: { otlp: }
processors: { pii: , signing: }
exporters: { file/out: { path: ./data/traces.jsonl } }
service:
  pipelines:
    traces: { receivers: [otlp], processors: [pii, signing], exporters: [file/out] }
    logs: { receivers: [otlp], processors: [pii], exporters: [file/out] }
    metrics: { receivers: [otlp], processors: [pii], exporters: [file/out] }
`)
  const omitted = await loadConfig({ files: [shortest], sets: [], env: {}, cwd: folder })
  expect(omitted.problems).toEqual([])
  expect(omitted.config).toEqual(written.config)
  expect(parse(printConfig(omitted.effective))).toEqual(parse(printConfig(written.effective)))
})

test('the defaults are the promised numbers', async () => {
  const { config } = await loadConfig({ files: ['collector-config.yaml'], sets: [], env: {}, cwd: root })
  expect(config!.kms.cache).toEqual({
    privateKeyTtlMs: 3_600_000,
    publicKeyTtlMs: 86_400_000,
    encryptionKeyTtlMs: 3_600_000,
    sizeMax: 1000,
    staleGraceMs: 900_000,
  })
  expect(config!.kms.rotation).toEqual({ enabled: true, checkCron: '0 0 2 * * ?', ageDaysMax: 90 })
  expect(config!.kms.breaker).toEqual({
    requestsMin: 10,
    failurePercent: 50,
    openMs: 5000,
    successesToClose: 3,
  })
  expect(config!.kms.request).toEqual({ connectTimeoutMs: 1000, timeoutMs: 5000, attemptsMax: 3 })
  expect(config!.storage).toEqual({
    directory: './data',
    queueBytesMax: 2 ** 30,
    evidenceBytesMax: 2 ** 33,
    deadLetterBytesMax: 2 ** 28,
    announcementsMax: 200_000,
    ack: 'durable',
    enabled: true,
  })
  expect(config!.service.limits).toEqual({
    inFlightBytesMax: 2 ** 28,
    waitMsMax: 8000,
    shutdownMsMax: 25_000,
  })
  expect(config!.service.admin).toEqual({ endpoint: { host: '127.0.0.1', port: 8080 }, token: undefined })
  expect(config!.receivers.get('otlp')!.grpc).toEqual({
    endpoint: { host: '127.0.0.1', port: 4317 },
    requestBytesMax: 2 ** 26,
    concurrentStreamsMax: 256,
    tls: undefined,
    bearerToken: undefined,
  })
})

test('files merge: maps key by key, lists as a whole, an empty map changes nothing', async () => {
  const config = await loadGood([
    'tenants: { allow: [a, b], max: 7 }\nexporters: { debug: { verbosity: normal } }',
    'tenants: { allow: [c] }\nexporters: { debug: }',
  ])
  expect(config.tenants.allow).toEqual(['c'])
  expect(config.tenants.max).toBe(7)
  expect(config.exporters.get('debug')).toEqual({ type: 'debug', verbosity: 'normal' })
})

test('a later source wins: files, properties, environment, --set', async () => {
  const properties = await file('kms.cache.max-size=3\n')
  const yaml = 'kms: { cache: { max_size: 2 } }'
  const env = { KMS_CACHE_MAX_SIZE: '4' }
  const size = async (texts: string[], more: Partial<ConfigSources>) =>
    (await loadGood(texts, more)).kms.cache.sizeMax
  expect(await size([], {})).toBe(1000)
  expect(await size([yaml], {})).toBe(2)
  expect(await size([yaml], { properties: [properties] })).toBe(3)
  expect(await size([yaml], { properties: [properties], env })).toBe(4)
  expect(await size([yaml], { properties: [properties], env, sets: ['kms.cache.max_size=5'] })).toBe(5)
  const both = ['kms.cache.max_size=5', 'kms.cache.max-size=6']
  expect(await size([yaml], { env, sets: both })).toBe(6)
})

const SEEDS = {
  'betrace.kms.provider': 'aws',
  'aws.kms.master-key-id': 'arn:aws:kms:us-east-1:123456789012:key/abcd1234-5678-90ab-cdef-1234567890ab',
  'aws.kms.region': 'us-east-1',
  'aws.kms.endpoint': 'http://localhost:4566',
  'kms.cache.private-key-ttl-minutes': '120',
  'kms.cache.public-key-ttl-hours': '48',
  'kms.cache.encryption-key-ttl-minutes': '30',
  'kms.cache.max-size': '2000',
  'kms.rotation.enabled': 'false',
  'kms.rotation.check-cron': '0 0 4 * * ?',
  'kms.rotation.max-age-days': '30',
}

test.each([
  ['a properties file', async () => ({ properties: [await file(`# KMS\n${entries('=').join('\n')}\n`)] })],
  [
    'a properties file with colons and Windows lines',
    async () => ({ properties: [await file(entries(' : ').join('\r\n'))] }),
  ],
  [
    'environment variables',
    async () => ({ env: Object.fromEntries(Object.entries(SEEDS).map(([k, v]) => [envName(k), v])) }),
  ],
  // As a ConfigMap or Secret brings them that is made with --from-literal and used by envFrom.
  ['environment variables of the exact names', async () => ({ env: SEEDS })],
  ['--set', async () => ({ sets: entries('=') })],
])("the operators' documented names work in %s", async (_, source) => {
  const { kms } = await loadGood([], await source())
  expect(kms.provider).toBe('aws')
  expect(kms.aws).toEqual({
    masterKeyId: SEEDS['aws.kms.master-key-id'],
    region: 'us-east-1',
    endpoint: 'http://localhost:4566',
    useFipsEndpoint: false,
  })
  expect(kms.cache).toMatchObject({ privateKeyTtlMs: 7_200_000, publicKeyTtlMs: 172_800_000, sizeMax: 2000 })
  expect(kms.cache.encryptionKeyTtlMs).toBe(1_800_000)
  expect(kms.rotation).toEqual({ enabled: false, checkCron: '0 0 4 * * ?', ageDaysMax: 30 })
})

const entries = (separator: string) =>
  Object.entries(SEEDS).map(([name, value]) => `${name}${separator}${value}`)
const envName = (name: string) => name.toUpperCase().replace(/[.-]/g, '_')

test('a property that nobody reads is a problem with its line', async () => {
  const properties = await file('kms.cache.max-size = 5\n\nkms.cache.max-sice = 6\n')
  const { problems } = await load([], { properties: [properties] })
  expect(problems.map(formatProblem)).toEqual([
    `kms.cache.max-sice: is not a property that this program reads; did you mean kms.cache.max-size? (${properties}:3:1)`,
  ])
})

test('of two spellings in the environment the exact name wins, as MicroProfile Config has it', async () => {
  const env = { KMS_CACHE_MAX_SIZE: '4', 'kms.cache.max-size': '5' }
  expect((await loadGood([], { env })).kms.cache.sizeMax).toBe(5)
  expect((await loadGood([], { env, sets: ['kms.cache.max-size=6'] })).kms.cache.sizeMax).toBe(6)
})

test('a mistyped name in the environment is a warning, since others may read it', async () => {
  const { problems, warnings } = await load([], {
    env: { 'betrace.kms.provder': 'aws', 'kms.provider': 'aws', 'quarkus.log.level': 'x', 'a.b': 'c' },
  })
  expect(problems).toEqual([])
  expect(warnings.map(formatProblem)).toEqual([
    'betrace.kms.provder: is not a property that this program reads; did you mean betrace.kms.provider? (environment variable betrace.kms.provder)',
    'kms.provider: is not a property that this program reads; did you mean betrace.kms.provider? (environment variable kms.provider)',
  ])
})

const NOT_READ = 'is not a property that this program reads'

test.each([
  ['kms.provider=aws', `kms.provider: ${NOT_READ}; did you mean betrace.kms.provider? (FILE:1:1)`],
  [
    'betrace.aws.kms.region=x',
    `betrace.aws.kms.region: ${NOT_READ}; did you mean aws.kms.region? (FILE:1:1)`,
  ],
  [
    'betrce.kms.provider=aws',
    `betrce.kms.provider: ${NOT_READ}; did you mean betrace.kms.provider? (FILE:1:1)`,
  ],
  ['vault.nonsense=x', `vault.nonsense: ${NOT_READ} (FILE:1:1)`],
  ['betrace.nonsense=x', `betrace.nonsense: ${NOT_READ} (FILE:1:1)`],
  [
    '%prod.betrace.kms.provider=aws',
    '%prod.betrace.kms.provider: is for one profile, and this program has none; write the name without it (FILE:1:1)',
  ],
])('the line %s is a problem', async (line, problem) => {
  const properties = await file(`${line}\n`)
  const { problems } = await load([], { properties: [properties] })
  expect(problems.map(formatProblem)).toEqual([problem.replace('FILE', properties)])
})

test('settings of other programs in the same properties file are ignored, with one warning', async () => {
  const properties = await file(
    'betrace.kms.provider=local\nquarkus.http.port=8080\n%dev.quarkus.log.level=DEBUG\naws.region=x\nkms.cache.max-size=7\n',
  )
  const { config, warnings } = await load([], { properties: [properties] })
  expect(config?.kms.cache.sizeMax).toBe(7)
  expect(warnings.map(formatProblem)).toEqual([
    `holds 3 properties of other programs, ignored here (${properties}:2:1)`,
  ])
})

test.each(['spring.cloud.vault.token', 'acme.kms.cache.max-size', 'cache.max-size', 'rotation.enabled'])(
  'the name %s of another program is let be, though one of ours ends like it',
  async (name) => {
    const properties = await file(`${name}=x\n`)
    const { problems, warnings } = await load([], { properties: [properties], env: { [name]: 'x' } })
    expect(problems).toEqual([])
    expect(warnings.map(formatProblem)).toEqual([
      `holds one property of other programs, ignored here (${properties}:1:1)`,
    ])
  },
)

const HASH = 'a # after a value is part of it; put comments on lines of their own'

test('a # after a value is said to be part of it', async () => {
  const properties = await file(
    'kms.cache.private-key-ttl-minutes=120  # Increase from 60 to 120\naws.kms.region=us-east-1 # home\n',
  )
  const { problems, warnings } = await load([], { properties: [properties] })
  expect(problems.map(formatProblem)).toEqual([
    `kms.cache.private-key-ttl-minutes: must be a whole number of minutes; ${HASH} (${properties}:1:1)`,
  ])
  expect(warnings.map(formatProblem)).toEqual([`aws.kms.region: ${HASH} (${properties}:2:1)`])
})

test('a region beside the ARN of another is named by the setting that it differs from', async () => {
  const aws = 'aws: { region: eu-west-1, master_key_id: "arn:aws:kms:us-east-1:123456789012:key/a" }'
  const { problems } = await load([`kms: { provider: aws, ${aws} }`])
  expect(problems).toMatchObject([
    { path: 'kms.aws.region', message: 'differs from us-east-1, the region in kms.aws.master_key_id' },
  ])
})

test('continued lines and escapes of a properties file are read as Java does', async () => {
  const properties = await file(
    'kms.rotation.check-cron = 0 0 3 \\\n    * * ?\nvault.\\u006bey=x\nvault.token = a\\=b\\\\c\\u0021\n',
  )
  const { problems, effective } = await load([], { properties: [properties] })
  expect(problems.map((problem) => problem.path)).toEqual(['vault.key'])
  expect(effective.size).toBeGreaterThan(0)
  const { kms } = await loadGood([], { properties: [await file('vault.token = a\\=b\\\\c\\u0021\n')] })
  expect(kms.vault.token!.reveal()).toBe('a=b\\c!')
})

test('the region comes from the ARN, or from the AWS environment', async () => {
  const region = async (key: string, env: Record<string, string>) =>
    (
      await loadGood(
        [`kms: { provider: aws, aws: { master_key_id: "${key}", endpoint: "http://[::1]:1" } }`],
        {
          env,
        },
      )
    ).kms.aws.region
  expect(await region('arn:aws:kms:eu-west-3:123456789012:key/a', { AWS_REGION: 'us-east-2' })).toBe(
    'eu-west-3',
  )
  expect(await region('alias/betrace', { AWS_REGION: 'us-east-2' })).toBe('us-east-2')
  expect(await region('alias/betrace', { AWS_DEFAULT_REGION: 'us-east-3' })).toBe('us-east-3')
})

test('a missing file is one problem, not a flood of missing settings', async () => {
  const { problems } = await loadConfig({ files: ['nope.yaml'], sets: [], env: {}, cwd: folder })
  expect(problems.map(formatProblem)).toEqual(['cannot be read: there is no such file (nope.yaml)'])
})

test('what rules have wrong is reported at its line', async () => {
  const loaded = await load([
    'processors:\n  pii:\n    rules:\n      - { name: a, match: { key: k }, action: mask }\n      - name: b\n        match: { key: k }\n        action: x\n',
  ])
  expect(loaded.problems).toMatchObject([{ path: 'processors.pii.rules[1].action', line: 7, column: 9 }])
})

const CANARY = 'c4n4ry-of-all-secrets'

test('no secret shows in any way of printing a configuration', async () => {
  const loaded = await load(
    [
      `
receivers: { otlp: { protocols: { http: { auth: { bearer_token: ${CANARY} } } } } }
exporters:
  otlp_http/next: { endpoint: "https://next", headers: { authorization: "Bearer ${CANARY}" } }
processors: { pii: { rules: [{ name: r, match: { key: "amqp://user:${CANARY}@broker/x and amqp://u:p/${CANARY}@b" }, action: mask }] } }
kms: { vault: { token: "\${env:T}", role_id: r, secret_id: ${CANARY} }, azure: { client_secret: ${CANARY} } }
`,
    ],
    { env: { ADMIN_TOKEN: CANARY, T: CANARY } },
  )
  expect(loaded.problems).toEqual([])
  const config = loaded.config!
  const printed = printConfig(loaded.effective)
  for (const { text, what } of [
    { what: 'print-config', text: printed },
    { what: 'JSON', text: JSON.stringify([config, [...config.exporters], [...config.receivers]]) },
    { what: 'inspect', text: inspect({ ...config, processors: undefined }, { depth: 20, showHidden: true }) },
    { what: 'template', text: `${config.service.admin.token} ${String(config.kms.vault.token)}` },
  ]) {
    expect(text, what).not.toContain(what === 'JSON' ? `"${CANARY}` : CANARY)
    expect(text, what).toContain('[redacted]')
  }
  expect(printed).toContain('amqp://[redacted]@b')
  expect(config.service.admin.token!.reveal()).toBe(CANARY)
  const next = config.exporters.get('otlp_http/next')!
  expect(next.type === 'otlp_http' && next.headers.get('authorization')!.reveal()).toBe(`Bearer ${CANARY}`)
})

test('no problem repeats what was written, since it may be a secret', async () => {
  const { problems } = await load(
    [
      `kms: { provider: ${CANARY}, cache: { max_size: ${CANARY}, private_key_ttl: ${CANARY} }, aws: { endpoint: ${CANARY} } }
exporters: { otlp_http/a: { endpoint: ${CANARY} } }
storage: { enabled: ${CANARY}, queue_bytes_max: ${CANARY}, ack: ${CANARY} }
service: { admin: { endpoint: ${CANARY} } }`,
      `broken: [ "${CANARY}`,
    ],
    { env: { KMS_CACHE_PUBLIC_KEY_TTL_HOURS: CANARY }, sets: [`kms.cache.max_size=${CANARY}`, `${CANARY}`] },
  )
  expect(problems.length).toBeGreaterThan(1)
  expect(problems.map(formatProblem).join('\n')).not.toContain(CANARY)
})

test('what print-config prints loads again as the same configuration', async () => {
  const first = await load([
    `
tenants: { default: "$$\{x}", allow: ["007", "true", "a: b", "'"] }
kms: { tenant_key_mapping: { "__proto__": a, "a.b": c }, pseudonym_key_file: "c=d" }`,
  ])
  expect(first.problems.map(formatProblem)).toEqual([])
  const printed = await file(printConfig(first.effective))
  const again = await loadConfig({ files: [printed], sets: [], env: {}, cwd: folder })
  expect(again.problems.map(formatProblem)).toEqual([])
  expect(again.config).toEqual(first.config)
  expect(again.config!.kms.tenantKeyMapping).toEqual(
    new Map([
      ['__proto__', 'a'],
      ['a.b', 'c'],
    ]),
  )
})

test('--set reaches keys with dots in quotes, takes lists and keeps text that looks like numbers', async () => {
  const config = await loadGood([], {
    sets: [
      'kms.tenant_key_mapping."a.b=c"=key',
      'tenants.allow=[x, "00$1"]',
      'service.admin.token=00012',
      'tenants.default=$HOME',
    ],
  })
  expect(config.kms.tenantKeyMapping.get('a.b=c')).toBe('key')
  expect(config.tenants.allow).toEqual(['x', '00$1'])
  expect(config.service.admin.token!.reveal()).toBe('00012')
  expect(config.tenants.default).toBe('$HOME')
})
