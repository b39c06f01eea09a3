// A key service in the process, for development: master keys in files of mode 0600. It makes the sidecar run with nothing
// around it, and protects only against who cannot read those files.
import { randomBytes } from 'node:crypto'
import { SidecarError } from '../../base/errors.ts'
import type { Logger } from '../../base/telemetry.ts'
import type { KmsContext } from '../../formats/key-context.ts'
import { invalidCiphertext, openAesGcm, SEAL_BYTES, sealAesGcm } from '../aes-gcm.ts'
import { contextBytes } from '../context-bytes.ts'
import { type GeneratedDataKey, type Kms, type KmsDescription, KmsError, type WrappedKey } from '../kms.ts'
import { checkWrappable } from '../random-key.ts'
import { refuseFirst } from '../setting-problem.ts'
import {
  type LocalMasterKeySettings,
  type MasterKey,
  openMasterKeys,
  type UnusableMasterKey,
} from './master-keys.ts'
import { localSettingProblems } from './settings.ts'

export { checkLocalFiles } from './master-keys.ts'

export interface LocalKmsOptions extends LocalMasterKeySettings {
  /** With NODE_ENV=production the service refuses to start unless this is true. */
  readonly allowInProduction: boolean
  readonly nodeEnv: string | undefined
  readonly log: Logger
}

const AAD_LABEL = 'betrace/local-kms/v1\0'
const VERSION = 1
const HEADER_BYTES = 1

/** Opens or makes the key files. Throws CONFIG with one line that names the setting. */
export async function openLocalKms(options: LocalKmsOptions): Promise<Kms> {
  refuseInProduction(options)
  options.log.info('Initializing KMS provider: local')
  refuseFirst(localSettingProblems(options))
  const { fallback, ofTenants } = await openMasterKeys(options)
  for (const [tenant, key] of ofTenants)
    if ('problem' in key)
      options.log.error({ tenant }, `${key.problem}; this tenant is refused, others go on`)
  options.log.warn('Using LocalKmsAdapter - NOT FOR PRODUCTION USE')
  return new LocalKms(fallback, ofTenants)
}

/** Throws CONFIG. */
export function refuseInProduction({
  nodeEnv,
  allowInProduction,
}: Pick<LocalKmsOptions, 'nodeEnv' | 'allowInProduction'>): void {
  if (nodeEnv !== 'production' || allowInProduction) return
  throw new SidecarError(
    'CONFIG',
    'kms.provider: local is refused when NODE_ENV=production; choose aws, vault, gcp or azure, or set kms.local.allow_in_production: true',
  )
}

class LocalKms implements Kms {
  readonly provider = 'local'
  readonly masterKeyId: string
  readonly #fallback: MasterKey
  readonly #ofTenants: ReadonlyMap<string, MasterKey | UnusableMasterKey>
  readonly #byId = new Map<string, MasterKey>()

  constructor(fallback: MasterKey, ofTenants: ReadonlyMap<string, MasterKey | UnusableMasterKey>) {
    this.masterKeyId = fallback.id
    this.#fallback = fallback
    this.#ofTenants = ofTenants
    for (const master of [fallback, ...ofTenants.values()])
      if (!('problem' in master)) this.#byId.set(master.id, master)
  }

  masterKeyOf(tenantId: string): string {
    return (this.#ofTenants.get(tenantId) ?? this.#fallback).id
  }

  async generateDataKey(context: KmsContext, abort: AbortSignal): Promise<GeneratedDataKey> {
    checkAbort(abort, 'generate_data_key')
    const plaintext = randomBytes(32)
    return { plaintext, ...this.#wrap('generate_data_key', plaintext, context) }
  }

  async wrap(plaintext: Uint8Array, context: KmsContext, abort: AbortSignal): Promise<WrappedKey> {
    checkAbort(abort, 'encrypt')
    checkWrappable(plaintext)
    return this.#wrap('encrypt', plaintext, context)
  }

  async unwrap(
    wrapped: Uint8Array,
    masterKeyId: string,
    context: KmsContext,
    abort: AbortSignal,
  ): Promise<Uint8Array> {
    checkAbort(abort, 'decrypt')
    const master = this.#byId.get(masterKeyId)
    if (master === undefined) {
      throw new KmsError('key_not_found', 'decrypt', 'no local key file holds this master key')
    }
    if (wrapped.length <= HEADER_BYTES + SEAL_BYTES || wrapped[0] !== VERSION) throw invalidCiphertext()
    return openAesGcm(master.key, wrapped.subarray(HEADER_BYTES), associatedData(context))
  }

  async describe(abort: AbortSignal): Promise<KmsDescription> {
    checkAbort(abort, 'describe_key')
    return { enabled: true, masterKeyId: this.masterKeyId }
  }

  async close(): Promise<void> {}

  #wrap(operation: string, plaintext: Uint8Array, context: KmsContext): WrappedKey {
    const master = this.#ofTenants.get(context.tenantId) ?? this.#fallback
    if ('problem' in master) throw new KmsError('key_not_found', operation, master.problem)
    const sealed = sealAesGcm(master.key, plaintext, associatedData(context))
    const wrapped = Buffer.concat([Buffer.of(VERSION), sealed])
    return { wrapped, masterKeyId: master.id }
  }
}

function associatedData(context: KmsContext): Uint8Array {
  return Buffer.concat([Buffer.from(AAD_LABEL), contextBytes(context)])
}

function checkAbort(abort: AbortSignal, operation: string): void {
  if (abort.aborted)
    throw new KmsError('timeout', operation, 'gave up before the call', { cause: abort.reason })
}
