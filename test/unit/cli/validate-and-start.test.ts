// A table of a hundred configurations, good and bad: what `validate` says and what a start does are the same. The one
// exception has a table of its own: a damaged file that one part alone needs fails `validate`, and a start goes on without
// that part, and says so.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { runCommand } from '../../../src/cli/commands.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { Service } from '../../../src/service/service.ts'
import { recordingIo } from './io.ts'

const CONFIG = resolve(import.meta.dirname, '../../../collector-config.yaml')
const folder = mkdtempSync(join(tmpdir(), 'betrace-validate-and-start-'))
const at = (name: string): string => join(folder, name)
const PEM = (name: string): string => resolve(import.meta.dirname, '../receivers/testdata', name)

beforeAll(() => {
  writeFileSync(at('text'), 'no key')
  writeFileSync(at('list.json'), '[]')
  writeFileSync(at('object.json'), '{"tenantId":"acme"}')
  mkdirSync(at('folder'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const VAULT = [
  'kms.provider=vault',
  'kms.vault.address=http://127.0.0.1:1',
  'kms.vault.key_name=k',
  'kms.vault.token=t',
]
const AWS = [
  'kms.provider=aws',
  'kms.aws.master_key_id=alias/betrace',
  'kms.aws.region=eu-west-1',
  'kms.aws.endpoint=http://127.0.0.1:1',
]
const GCP = [
  'kms.provider=gcp',
  ...['project_id=p', 'location=l', 'key_ring=r', 'key_name=k'].map((s) => `kms.gcp.${s}`),
]
const AZURE = ['kms.provider=azure', 'kms.azure.vault_uri=https://v.vault.azure.net', 'kms.azure.key_name=k']
const NEXT = 'exporters.otlp_grpc/next'
const next = (...sets: string[]): string[] => [
  `${NEXT}.endpoint=127.0.0.1:1`,
  `${NEXT}.tls.insecure=true`,
  `service.pipelines.traces.exporters=${'[otlp_grpc/next]'}`,
  ...sets,
]
const GRPC_TLS = 'receivers.otlp.protocols.grpc.tls'
const grpcTls = (cert: string, key: string, ...more: string[]): string[] => [
  `receivers.otlp.protocols.grpc.tls.cert_file=${cert}`,
  `receivers.otlp.protocols.grpc.tls.key_file=${key}`,
  ...more,
]
const rule = (text: string): string => `processors.pii.rules=[${text}]`

const GOOD: readonly (readonly string[])[] = [
  [],
  ['tenants.default=acme'],
  ['tenants.default=__proto__'],
  ['tenants.default=a b'],
  [`tenants.default=${'x'.repeat(128)}`],
  ['tenants.allow=[acme, constructor]'],
  ['tenants.header='],
  ['tenants.header=X-Scope-OrgID'],
  ['tenants.resource_attribute='],
  ['tenants.resource_attribute=service.namespace'],
  ['tenants.unknown=default'],
  ['tenants.max=1'],
  ['tenants.certificate=san'],
  ['processors.pii.packs=[]', rule('{ name: a, match: { key: k }, action: mask }')],
  ['processors.pii.packs=[payment]'],
  ['processors.pii.on_kms_failure=mask'],
  ['processors.pii.tenant_secret=true'],
  ['processors.pii.trusted_pseudonym_keys=[abc]'],
  [rule('{ name: a, match: { pattern: "A[0-9]{4}" }, action: hash }')],
  [rule('{ name: a, match: { detector: [email], tenant: ["a*"] }, action: { mask: { keep_last: 4 } } }')],
  [
    rule(
      '{ name: __proto__, match: { key: ["*"] }, action: { encrypt: { beacon: true, beacon_bits: 16 } } }',
    ),
  ],
  ['processors.signing.select=all'],
  ['processors.signing.select=["audit.*"]'],
  ['processors.signing.algorithm=hmac-sha256'],
  ['processors.signing.resource_attributes=[]'],
  ['processors.signing.mutable=["tag.*"]'],
  ['processors.signing.heartbeat_interval=1s'],
  [`processors.signing.trusted_keys_file=${at('list.json')}`],
  ['storage.ack=enqueue'],
  ['storage.ack=exported'],
  ['storage.enabled=false', 'storage.ack=exported'],
  ['storage.announcements_max=1000'],
  ['storage.queue_bytes_max=64MiB'],
  ['kms.tenant_key_mapping={"acme":"acme-key"}'],
  ['kms.rotation.enabled=false'],
  ['kms.rotation.check_cron=0 30 4 ? * MON'],
  ['kms.rotation.max_age_days=1'],
  ['kms.cache.max_size=1'],
  ['kms.cache.stale_grace=0s'],
  VAULT,
  [...VAULT, 'kms.vault.namespace=team'],
  AWS,
  ['kms.provider=aws', 'kms.aws.master_key_id=arn:aws:kms:eu-west-1:123456789012:key/mrk-1'],
  GCP,
  AZURE,
  next(),
  next(`${NEXT}.compression=gzip`, `${NEXT}.headers={"authorization":"Bearer t"}`),
  next(`${NEXT}.retry_on_failure.max_elapsed_time=0s`),
  [
    'exporters.otlp_http/next.endpoint=http://127.0.0.1:1',
    'service.pipelines.traces.exporters=[otlp_http/next]',
  ],
  ['exporters.debug.verbosity=detailed', 'service.pipelines.traces.exporters=[debug]'],
  grpcTls(PEM('server.pem'), PEM('server.key')),
  grpcTls(
    PEM('server.pem'),
    PEM('server.key'),
    `receivers.otlp.protocols.grpc.tls.client_ca_file=${PEM('ca.pem')}`,
  ),
  ['receivers.otlp.protocols.grpc.auth.bearer_token=secret'],
  ['service.limits.wait_max=1s'],
  ['service.admin.token=t', 'service.admin.reveal_token=r'],
]

const BAD: readonly (readonly string[])[] = [
  ['tenants.default=münchen'],
  ['tenants.default=日本'],
  ['tenants.default='],
  [`tenants.default=${'x'.repeat(129)}`],
  ['tenants.allow=[" acme"]'],
  ['tenants.header=a b'],
  ['tenants.header=tenant-bin'],
  ['tenants.unknown=guess'],
  ['tenants.max=0'],
  ['tenants.colour=red'],
  ['processors.pii.packs=[defualt]'],
  ['processors.pii.on_kms_failure=pass'],
  [rule('{ name: a, match: { pattern: "(" }, action: mask }')],
  [rule('{ name: a, match: { detector: [mail] }, action: mask }')],
  [rule('{ name: a, match: { key: k }, action: seal }')],
  [rule('{ name: a, match: {}, action: mask }')],
  [rule('{ match: { key: k }, action: mask }')],
  ['processors.signing.select=[]'],
  ['processors.signing.select=some'],
  ['processors.signing.proof=ledger'],
  ['processors.signing.algorithm=none'],
  [`processors.signing.trusted_keys_file=${at('missing')}`],
  [`processors.signing.trusted_keys_file=${at('text')}`],
  [`processors.signing.trusted_keys_file=${at('object.json')}`],
  ['storage.enabled=false'],
  ['storage.enabled=false', 'storage.ack=exported', 'processors.pii.tenant_secret=true'],
  ['storage.queue_bytes_max=1MiB'],
  ['storage.ack=never'],
  ['kms.provider=aws'],
  ['kms.provider=aws', 'kms.aws.master_key_id=alias/betrace', 'kms.aws.region=eu-west-1'],
  ['kms.provider=cloud'],
  ['kms.provider=vault', 'kms.vault.address=http://127.0.0.1:1'],
  ['kms.provider=gcp', 'kms.gcp.project_id=p'],
  ['kms.provider=aws', 'kms.aws.master_key_id=arn:aws:kms:eu-west-1:1:key', 'kms.aws.region=eu-west-1'],
  [
    'kms.provider=aws',
    'kms.aws.master_key_id=arn:aws:kms:eu-west-1:123456789012:key/a',
    'kms.replicas=[alias/other]',
  ],
  [...VAULT, `kms.vault.ca_file=${at('text')}`],
  [...GCP, `kms.gcp.ca_file=${at('missing')}`],
  [...AZURE, `kms.azure.ca_file=${at('folder')}`],
  ['kms.replicas=[x]'],
  ['kms.tenant_key_mapping={"é":"k"}'],
  ['kms.tenant_key_mapping={"acme":"../k"}'],
  ['kms.rotation.check_cron=whenever'],
  ['kms.rotation.check_cron=0 0 25 * * ?'],
  ['kms.rotation.max_age_days=0'],
  [`kms.pseudonym_key_file=${at('text')}`],
  [`kms.local.key_file=${at('text')}`],
  [`kms.local.key_file=${at('folder')}`],
  next(`${NEXT}.tls.insecure=maybe`),
  next(`${NEXT}.endpoint=127.0.0.1`),
  ['exporters.otlp_http/next.endpoint=127.0.0.1:1', 'service.pipelines.traces.exporters=[otlp_http/next]'],
  ['service.pipelines.traces.exporters=[nobody]'],
  ['service.pipelines.traces.processors=[signing, pii]'],
  ['service.pipelines.logs.processors=[signing]'],
  [`exporters.file/out.path=${at('folder')}`],
  [`exporters.file/out.path=${at('text')}/out.jsonl`],
  [`receivers.otlp.protocols.grpc.tls.cert_file=${PEM('server.pem')}`],
  ['receivers.otlp.protocols.grpc.endpoint=nowhere'],
  ['service.limits.in_flight_mib=1'],
  ['service.admin.endpoint=127.0.0.1'],
]

/** `validate` fails with what the start's log says, and the start goes on. */
const WITHOUT_A_PART: readonly (readonly [says: string, sets: readonly string[]])[] = [
  [`${GRPC_TLS}.cert_file: cannot be read`, grpcTls(at('missing'), at('missing'))],
  [`${GRPC_TLS}.key_file: is not the key of cert_file`, grpcTls(PEM('server.pem'), PEM('client.key'))],
  [`${GRPC_TLS}.cert_file: holds no certificate`, grpcTls(at('text'), PEM('server.key'))],
  [
    'exporters.otlp_grpc/next.tls.ca_file: cannot be read',
    next(`${NEXT}.tls.insecure=false`, `${NEXT}.tls.ca_file=${at('missing')}`),
  ],
  [
    'exporters.otlp_grpc/next.tls.ca_file: holds no certificate',
    next(`${NEXT}.tls.insecure=false`, `${NEXT}.tls.ca_file=${at('text')}`),
  ],
  [
    'exporters.otlp_http/next.tls.cert_file: cannot be read',
    [
      'exporters.otlp_http/next.endpoint=https://127.0.0.1:1',
      `exporters.otlp_http/next.tls.cert_file=${at('folder')}`,
      `exporters.otlp_http/next.tls.key_file=${PEM('client.key')}`,
      'service.pipelines.traces.exporters=[otlp_http/next]',
    ],
  ],
]

let number = 0

/** What both say, each with a data folder of its own: "good" or the first problem's setting. */
async function outcomes(sets: readonly string[]): Promise<{
  readonly validate: boolean
  readonly start: boolean
  readonly says: string
  readonly log: string
}> {
  const base = [
    `storage.directory=${at(`data-${number}`)}`,
    `exporters.file/out.path=${at(`out-${number++}.jsonl`)}`,
    'receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0',
    'receivers.otlp.protocols.http.endpoint=127.0.0.1:0',
    'service.admin.endpoint=127.0.0.1:0',
    'service.telemetry.logs.level=error',
    ...sets,
  ]
  const { io, err } = recordingIo({}, folder)
  const code = await runCommand(
    ['validate', '--config', CONFIG, ...base.flatMap((set) => ['--set', set])],
    io,
  )
  const { start, log } = await starts(base)
  return { validate: code === 0, start, says: err(), log }
}

async function starts(sets: readonly string[]): Promise<{ readonly start: boolean; readonly log: string }> {
  const { config } = await loadConfig({ files: [CONFIG], sets, env: {}, cwd: folder })
  if (config === undefined) return { start: false, log: '' }
  const lines: string[] = []
  const log = pino({}, { write: (line: string) => void lines.push(line) })
  try {
    await (await Service.start(config, { ...silentTelemetry(), log, env: {} })).stop()
    return { start: true, log: lines.join('') }
  } catch {
    return { start: false, log: lines.join('') }
  }
}

test('the table has a hundred configurations', () => {
  expect(GOOD.length + BAD.length + WITHOUT_A_PART.length).toBeGreaterThanOrEqual(100)
})

test.each(
  GOOD.map((sets) => [sets.join(' ').replaceAll(folder, '').slice(0, 120) || 'as it stands', sets] as const),
)('good: %s', async (_name, sets) => {
  expect(await outcomes(sets)).toMatchObject({ validate: true, start: true })
})

test.each(BAD.map((sets) => [sets.join(' ').replaceAll(folder, '').slice(0, 120), sets] as const))(
  'bad: %s',
  async (_name, sets) => {
    expect(await outcomes(sets)).toMatchObject({ validate: false, start: false })
  },
)

test.each(WITHOUT_A_PART)('a start goes on without its part: %s', async (says, sets) => {
  expect(await outcomes(sets)).toMatchObject({
    validate: false,
    start: true,
    says: expect.stringContaining(says),
    log: expect.stringContaining(says),
  })
})
