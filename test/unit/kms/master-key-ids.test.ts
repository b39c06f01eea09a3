// A breaker stands for a master key, and one master key has many spellings: in the mapping, in what it wrapped, with the
// version that wrapped. Each provider says which are the same.
import { afterEach, expect, test } from 'vitest'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { openAwsKms } from '../../../src/kms/aws/open.ts'
import { openAzureKms } from '../../../src/kms/azure/open.ts'
import { openGcpKms } from '../../../src/kms/gcp/open.ts'
import type { Kms } from '../../../src/kms/kms.ts'
import { openVaultKms } from '../../../src/kms/vault/open.ts'
import { ARN, awsOptions } from './aws/answers.ts'
import { guarded, never } from './guarded-kms.ts'
import { DoorKms } from './key-service.ts'

const { log } = silentTelemetry()
const request = { connectTimeoutMs: 50, timeoutMs: 50, attemptsMax: 1 }
const RING = 'projects/p/locations/l/keyRings/r/cryptoKeys'
const VAULT = 'https://acme.vault.azure.net'
const MRK = 'arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab'
const MRK_REPLICA = MRK.replace('eu-west-1', 'us-east-1')
const opened: Kms[] = []
afterEach(async () => {
  for (const kms of opened.splice(0)) await kms.close()
})

const mapped = (long: string): ReadonlyMap<string, string> =>
  new Map([
    ['short', 'acme-key'],
    ['long', long],
  ])

const PROVIDERS: Record<string, { open: () => Promise<Kms>; own: string; ofOthers: string }> = {
  vault: {
    open: () =>
      openVaultKms({
        address: 'http://127.0.0.1:1',
        mount: 'transit',
        keyName: 'shared',
        namespace: 'team',
        token: { reveal: () => 't' },
        tenantKeyMapping: mapped('transit/acme-key'),
        request,
        log,
      } as Parameters<typeof openVaultKms>[0]), // the settings left out have defaults in the configuration only
    own: 'team/transit/acme-key',
    ofOthers: 'team/transit/shared',
  },
  gcp: {
    open: () =>
      openGcpKms({
        projectId: 'p',
        location: 'l',
        keyRing: 'r',
        keyName: 'shared',
        tenantKeyMapping: mapped(`${RING}/acme-key`),
        request,
        log,
      }),
    own: `${RING}/acme-key`,
    ofOthers: `${RING}/shared`,
  },
  azure: {
    open: () =>
      openAzureKms({
        vaultUri: VAULT,
        keyName: 'shared',
        tenantKeyMapping: mapped(`${VAULT}/keys/acme-key`),
        request,
        env: {},
        log,
      }),
    own: `${VAULT}/keys/acme-key`,
    ofOthers: `${VAULT}/keys/shared`,
  },
}

test.each(Object.entries(PROVIDERS))(
  '%s: a key by its name is the key by its path',
  async (_name, { open, own, ofOthers }) => {
    const kms = await open()
    opened.push(kms)
    expect(['short', 'long', 'other'].map((tenant) => kms.masterKeyOf?.(tenant))).toEqual([
      own,
      own,
      ofOthers,
    ])
    expect(kms.masterKeyId).toBe(ofOthers)
  },
)

test('aws: a replica is its primary, and no other key is', async () => {
  const kms = await openAwsKms(
    awsOptions({
      masterKeyId: MRK,
      endpoint: undefined,
      replicas: [MRK_REPLICA],
      tenantKeyMapping: new Map([['byok', ARN]]),
    }),
  )
  opened.push(kms)
  expect([kms.masterKeyOf?.('byok'), kms.masterKeyOf?.('other')]).toEqual([ARN, MRK])
  expect([MRK, MRK_REPLICA, ARN, 'alias/x'].map((id) => kms.canonicalKeyId?.(id))).toEqual([
    MRK,
    MRK,
    ARN,
    'alias/x',
  ])
})

test('azure: all versions of a key are one, in whatever case its host is written', async () => {
  const kms = await PROVIDERS.azure!.open()
  opened.push(kms)
  const ids = ['acme-key', 'acme-key/0123abcd', 'acme-key/4567ef01'].map((name) => `${VAULT}/keys/${name}`)
  ids.push('https://ACME.vault.azure.net/keys/acme-key/1')
  for (const id of ids) expect(kms.canonicalKeyId?.(id)).toBe(`${VAULT}/keys/acme-key`)
  expect(kms.canonicalKeyId?.('no id')).toBe('no id')
})

test('local: a tenant has the id that stands in what is wrapped for it', async () => {
  const kms = await DoorKms.open({ tenantKeyMapping: new Map([['byok', 'own']]) })
  for (const tenantId of ['byok', 'other']) {
    const { masterKeyId } = await kms.generateDataKey({ tenantId, purpose: 'pii' }, never)
    expect(kms.masterKeyOf(tenantId)).toBe(masterKeyId)
  }
})

test('wrapping and unwrapping under one master key share a breaker, whichever version is named', async () => {
  const door = Object.assign(await DoorKms.open(), {
    canonicalKeyId: (id: string) => id.replace(/\/v\d+$/, ''),
  })
  const { guard } = await guarded({}, door)
  const context = { tenantId: 'a', purpose: 'pii' } as const
  door.fail('network')
  for (let version = 1; version <= 5; version++) {
    await guard.generateDataKey(context, never).catch(() => {})
    await guard.unwrap(new Uint8Array(8), `${door.masterKeyId}/v${version}`, context, never).catch(() => {})
  }
  expect(guard.tripped()).toEqual([
    { name: 'kms-encryption-key', masterKeyId: door.masterKeyId, state: 'open', error: 'network' },
  ])
})
