import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { type GcpKmsOptions, openGcpKms } from '../../../src/kms/gcp/open.ts'
import type { Kms } from '../../../src/kms/kms.ts'
import type { KmsTarget, OpenOptions } from './conformance.ts'
import { testCertificate } from './fault-proxy.ts'
import { FakeCloudKms } from './gcp-fake.ts'

export const RING = 'projects/p/locations/europe-west1/keyRings/r'
export const DEFAULT_KEY = `${RING}/cryptoKeys/default`

export interface GcpTarget extends KmsTarget {
  readonly fake: () => FakeCloudKms
  /** A file that is gone after `stop`. */
  file(name: string, text: string): string
  openWith(options: OpenOptions, more: Partial<GcpKmsOptions>): Promise<Kms>
  /** What clients that have made no call yet find as their credentials; without a file, those of `sidecar`. */
  useCredentials(file?: string): void
}

const VARIABLE = 'GOOGLE_APPLICATION_CREDENTIALS'

/** The fake behind TLS, reached with a token that a security token service gave for a file's content. */
export function gcpTarget(): GcpTarget {
  const certificate = testCertificate()
  let fake = new FakeCloudKms()
  let folder = ''
  let made = 0
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 })
    return join(folder, name)
  }
  const credentials = (identity: string): string => {
    const subject = file(`${identity}.subject`, `subject:${identity}`)
    return file(`${identity}.json`, JSON.stringify(fake.federatedCredentials(subject)))
  }
  const openWith = (options: OpenOptions, more: Partial<GcpKmsOptions>): Promise<Kms> =>
    openGcpKms({
      projectId: 'p',
      location: 'europe-west1',
      keyRing: 'r',
      keyName: options.masterKey ?? 'default',
      endpoint: options.url ?? fake.url,
      tenantKeyMapping: options.tenantKeys ?? new Map(),
      caFile: join(folder, 'ca.pem'),
      request: options.request ?? { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 3 },
      log: silentTelemetry().log,
      ...more,
    })
  const useCredentials = (file = credentials('sidecar')): void => {
    process.env[VARIABLE] = file
  }
  const before = process.env[VARIABLE]
  const createKey = async (): Promise<string> => {
    const name = `key-${made++}`
    fake.createKey(`${RING}/cryptoKeys/${name}`)
    return name
  }
  const pathOf = (name: string): string => `${RING}/cryptoKeys/${name}`
  return {
    provider: 'gcp',
    cannot: {},
    fake: () => fake,
    file,
    openWith,
    useCredentials,
    start: async () => {
      folder = mkdtempSync(join(tmpdir(), 'betrace-kms-gcp-'))
      file('ca.pem', certificate.ca)
      fake = new FakeCloudKms()
      await fake.start(certificate)
      fake.createKey(DEFAULT_KEY)
      useCredentials()
    },
    stop: async () => {
      if (before === undefined) delete process.env[VARIABLE]
      else process.env[VARIABLE] = before
      await fake.stop()
      rmSync(folder, { recursive: true, force: true })
    },
    open: (options) => openWith(options, {}),
    createKey,
    unknownKey: () => pathOf('missing'),
    unknownKeyToOpen: () => 'missing',
    secrets: () => fake.tokens,
    upstream: () => ({ upstream: fake.url, layer: 'tcp' }),
    misbehave: async (how, callsMax) => {
      fake.misbehave(how, callsMax)
      return async () => fake.misbehave(how, 0)
    },
    disableKey: async (key) => fake.setState(pathOf(key), 'DISABLED'),
    scheduleDeletion: async (key) => fake.setState(pathOf(key), 'DESTROY_SCHEDULED'),
    rotateKey: async (key) => fake.rotate(pathOf(key)),
    openDenied: async (options) => {
      fake.deny('stranger', true)
      useCredentials(credentials('stranger'))
      const restore = async (): Promise<void> => {
        fake.deny('stranger', false)
        useCredentials()
      }
      return { kms: await openWith(options, {}), restore }
    },
    createSigningKey: async (algorithm) => {
      const name = pathOf(`signing-${made++}`)
      fake.createKey(name, algorithm === 'ed25519' ? 'EC_SIGN_ED25519' : 'EC_SIGN_P256_SHA256')
      return `${name}/cryptoKeyVersions/1`
    },
  }
}
