import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { type AzureKmsOptions, openAzureKms } from '../../../src/kms/azure/open.ts'
import type { Kms } from '../../../src/kms/kms.ts'
import { FakeKeyVault, TENANT } from './azure-fake.ts'
import type { KmsTarget, OpenOptions } from './conformance.ts'
import { testCertificate } from './fault-proxy.ts'

export const CLIENT = 'sidecar'
const CLIENT_SECRET = 'a-client-secret-of-the-sidecar'
const STRANGER_SECRET = 'a-client-secret-of-a-stranger'

export interface AzureTarget extends KmsTarget {
  readonly fake: () => FakeKeyVault
  /** A file that is gone after `stop`. */
  file(name: string, text: string): string
  openWith(options: OpenOptions, more: Partial<AzureKmsOptions>): Promise<Kms>
}

/** The fake, reached with a service principal's secret. */
export function azureTarget(): AzureTarget {
  const certificate = testCertificate()
  let fake = new FakeKeyVault(certificate)
  let folder = ''
  let made = 0
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 })
    return join(folder, name)
  }
  const openWith = (options: OpenOptions, more: Partial<AzureKmsOptions>): Promise<Kms> =>
    openAzureKms({
      vaultUri: options.url ?? fake.url,
      keyName: options.masterKey ?? 'default',
      tenantId: TENANT,
      clientId: CLIENT,
      clientSecret: { reveal: () => CLIENT_SECRET },
      authorityHost: fake.authorityHost,
      caFile: join(folder, 'ca.pem'),
      tenantKeyMapping: options.tenantKeys ?? new Map(),
      request: options.request ?? { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 3 },
      env: {},
      log: silentTelemetry().log,
      ...more,
    })
  return {
    provider: 'azure',
    cannot: { sign_ed25519: 'Key Vault has no Ed25519 keys' },
    fake: () => fake,
    file,
    openWith,
    start: async () => {
      folder = mkdtempSync(join(tmpdir(), 'betrace-kms-azure-'))
      file('ca.pem', certificate.ca)
      fake = new FakeKeyVault(certificate)
      await fake.start()
      fake.addClient(CLIENT, CLIENT_SECRET)
      fake.addClient('stranger', STRANGER_SECRET)
      fake.createKey('default')
    },
    stop: async () => {
      await fake.stop()
      rmSync(folder, { recursive: true, force: true })
    },
    open: (options) => openWith(options, {}),
    createKey: async () => {
      const name = `key-${made++}`
      fake.createKey(name)
      return name
    },
    unknownKey: () => `${fake.url}/keys/missing/0123456789abcdef0123456789abcdef`,
    unknownKeyToOpen: () => 'missing',
    secrets: () => [...fake.tokens, CLIENT_SECRET, STRANGER_SECRET],
    upstream: () => ({
      upstream: fake.url,
      layer: 'http',
      tls: { key: certificate.key, cert: certificate.cert, upstreamCa: certificate.ca },
    }),
    throttledAnswer: {
      status: 429,
      headers: { 'content-type': 'application/json', 'retry-after': '1' },
      body: '{"error":{"code":"Throttled","message":"Request was not processed because too many requests were received."}}',
    },
    brokenAnswer: {
      status: 500,
      headers: { 'content-type': 'application/json' },
      body: '{"error":{"code":"InternalServerError","message":"An internal error occurred."}}',
    },
    disableKey: async (key) => fake.change(key, { isEnabled: false }),
    scheduleDeletion: async (key) => fake.delete(key),
    rotateKey: async (key) => {
      fake.rotate(key)
    },
    openDenied: async (options) => {
      fake.deny('stranger', true)
      const more = { clientId: 'stranger', clientSecret: { reveal: () => STRANGER_SECRET } }
      const kms = await openWith(options, more)
      return { kms, restore: async () => fake.deny('stranger', false) }
    },
    createSigningKey: async (algorithm) => {
      if (algorithm === 'ed25519') throw new Error('Key Vault has no Ed25519 keys')
      const name = `signing-${made++}`
      return `${fake.url}/keys/${name}/${fake.createKey(name, 'EC')}`
    },
  }
}
