// A data folder as a sidecar leaves it: real store, real local key service, keys of some tenants, a value sealed by each.

import { sign } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll } from 'vitest'
import { silentTelemetry } from '../../../../src/base/telemetry.ts'
import { runCommand } from '../../../../src/cli/commands.ts'
import { KEYS_DEFAULTS, Keys, type KeysOptions } from '../../../../src/keys/keys.ts'
import type { KeyRecordKind, KeyStore } from '../../../../src/keys/records/keystore.ts'
import type { Kms } from '../../../../src/kms/kms.ts'
import { openLocalKms } from '../../../../src/kms/local/open.ts'
import { storeKeyStore } from '../../../../src/store/key-store.ts'
import { Store } from '../../../../src/store/store.ts'
import { attributePlace } from '../../formats/places.ts'
import { ManualClock } from '../../kms/manual-clock.ts'
import { recordingIo } from '../io.ts'

export const never = new AbortController().signal
export const MESSAGE = Buffer.from('statement')
export const ROOT = resolve(import.meta.dirname, '../../../..')
const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

export interface LeftBehind {
  readonly tenant: string
  readonly keyId: string
  readonly signature: Uint8Array
  readonly token: string
  readonly announcement: string
  readonly pseudonym: string
}

export class KeysFolder {
  readonly folder = mkdtempSync(join(tmpdir(), 'betrace-keys-'))
  readonly data = join(this.folder, 'data')
  readonly clock = new ManualClock()
  /** Tenant → name of its own master key, as the sidecar is configured from now on. */
  mapping: ReadonlyMap<string, string>

  constructor(mapping: ReadonlyMap<string, string> = new Map()) {
    folders.push(this.folder)
    this.mapping = mapping
  }

  keyFile(name = 'a'): string {
    return join(this.folder, name, 'local-kms.key')
  }

  openKms(name = 'a', create = true): Promise<Kms> {
    return openLocalKms({
      keyFile: this.keyFile(name),
      allowInProduction: false,
      nodeEnv: undefined,
      tenantKeyMapping: this.mapping,
      create,
      log: silentTelemetry().log,
    })
  }

  /** Opens the folder as a sidecar does, for as long as `work` takes. */
  async open<T>(
    work: (parts: { keys: Keys; store: KeyStore; kms: Kms; disk: Store }) => Promise<T>,
    options: Partial<KeysOptions> = {},
    keyFile = 'a',
  ): Promise<T> {
    const disk = await Store.open({ directory: this.data }, [])
    const kms = await this.openKms(keyFile)
    const store = storeKeyStore<KeyRecordKind>(disk)
    const keys = new Keys(
      { kms, store, clock: this.clock, ...silentTelemetry() },
      { ...KEYS_DEFAULTS, dataClasses: ['name'], ...options },
    )
    try {
      return await work({ keys, store, kms, disk })
    } finally {
      await keys.close()
      await disk.close()
    }
  }

  /** What a run of the sidecar leaves of each tenant. */
  run(tenants: readonly string[], options: Partial<KeysOptions> = {}, keyFile = 'a'): Promise<LeftBehind[]> {
    return this.open(
      ({ keys }) => Promise.all(tenants.map((tenant) => leave(keys, tenant))),
      options,
      keyFile,
    )
  }

  configArgv(keyFile = 'a', ...sets: string[]): string[] {
    const all = [`storage.directory=${this.data}`, `kms.local.key_file=${this.keyFile(keyFile)}`, ...sets]
    return ['--config', join(ROOT, 'collector-config.yaml'), ...all.flatMap((set) => ['--set', set])]
  }

  /** A configuration of its own, for `--from`. */
  configFile(keyFile: string, more = ''): string {
    const path = join(this.folder, `${keyFile}.yaml`)
    writeFileSync(
      path,
      `receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
exporters: { debug: {} }
storage: { directory: ${JSON.stringify(this.data)} }
kms: { provider: local, local: { key_file: ${JSON.stringify(this.keyFile(keyFile))} }${more && `, ${more}`} }
service: { pipelines: { traces: { receivers: [otlp], exporters: [debug] } } }
`,
    )
    return path
  }

  async command(argv: readonly string[], keyFile = 'a', ...sets: string[]) {
    const { io, out, err } = recordingIo({}, this.folder)
    const code = await runCommand(['keys', ...argv, ...this.configArgv(keyFile, ...sets)], io)
    return { code, out: out(), err: err() }
  }
}

export async function leave(keys: Keys, tenant: string): Promise<LeftBehind> {
  const { keyId, privateKey } = await keys.loadSigningKey(tenant, never)
  const sealer = await keys.loadSealer(tenant, never)
  const pseudonymizer = await keys.loadPseudonymizer(tenant, never)
  const [token] = sealer.sealAll([
    { plaintext: Buffer.from('\n\u0005alice'), place: attributePlace('user'), dataClass: 'name' },
  ])
  return {
    tenant,
    keyId,
    signature: sign(null, MESSAGE, privateKey),
    token: token!,
    announcement: sealer.announcement,
    pseudonym: pseudonymizer.pseudonym('name', Buffer.from('alice')),
  }
}
