// The local key service over a key file of the test's own, with a door in front: it counts calls, and can be told to
// fail, to hang or to wait. Behind the door everything is the real thing.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import type { KmsContext } from '../../../src/formats/key-context.ts'
import { type Kms, KmsError } from '../../../src/kms/kms.ts'
import { type LocalKmsOptions, openLocalKms } from '../../../src/kms/local/open.ts'

const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'betrace-keys-'))
  folders.push(folder)
  return folder
}

export function localOptions(overrides: Partial<LocalKmsOptions> = {}): LocalKmsOptions {
  return {
    keyFile: join(temporaryFolder(), 'local-kms.key'),
    allowInProduction: false,
    nodeEnv: undefined,
    tenantKeyMapping: new Map(),
    create: true,
    log: silentTelemetry().log,
    ...overrides,
  }
}

export class DoorKms implements Kms {
  readonly #kms: Kms
  readonly calls: { operation: string; context?: KmsContext }[] = []
  failure: KmsError | undefined
  /** The only operation that fails; absent: all. */
  failing: string | undefined
  /** So many more calls fail; absent: all. */
  failuresLeft: number | undefined
  isEnabled = true
  /** One tenant whose calls are refused, as a policy by encryption context refuses them. */
  refused: { readonly tenant: string; readonly kmsClass: KmsError['kmsClass'] } | undefined
  /** When set, every call waits for it first. */
  gate: Promise<void> | undefined

  private constructor(kms: Kms) {
    this.#kms = kms
  }

  static async open(overrides: Partial<LocalKmsOptions> = {}): Promise<DoorKms> {
    return new DoorKms(await openLocalKms(localOptions(overrides)))
  }

  get provider(): string {
    return this.#kms.provider
  }
  get masterKeyId(): string {
    return this.#kms.masterKeyId
  }
  masterKeyOf(tenantId: string): string {
    return this.#kms.masterKeyOf?.(tenantId) ?? this.masterKeyId
  }
  count(operation: string): number {
    return this.calls.filter((call) => call.operation === operation).length
  }
  fail(kmsClass: KmsError['kmsClass'], operation?: string, count?: number): void {
    this.failing = operation
    this.failuresLeft = count
    this.failure = new KmsError(kmsClass, 'test', 'told to fail')
  }

  async generateDataKey(context: KmsContext, signal: AbortSignal): ReturnType<Kms['generateDataKey']> {
    await this.#pass('generate_data_key', context)
    return this.#kms.generateDataKey(context, signal)
  }
  async wrap(plaintext: Uint8Array, context: KmsContext, signal: AbortSignal): ReturnType<Kms['wrap']> {
    await this.#pass('encrypt', context)
    return this.#kms.wrap(plaintext, context, signal)
  }
  async unwrap(...args: Parameters<Kms['unwrap']>): ReturnType<Kms['unwrap']> {
    await this.#pass('decrypt', args[2])
    return this.#kms.unwrap(...args)
  }
  async describe(signal: AbortSignal): ReturnType<Kms['describe']> {
    await this.#pass('describe_key')
    return { ...(await this.#kms.describe(signal)), enabled: this.isEnabled }
  }
  async close(): Promise<void> {
    await this.#kms.close()
  }

  async #pass(operation: string, context?: KmsContext): Promise<void> {
    this.calls.push(context === undefined ? { operation } : { operation, context })
    await this.gate
    if (this.refused !== undefined && context?.tenantId === this.refused.tenant)
      throw new KmsError(this.refused.kmsClass, operation, 'told to refuse a tenant')
    const isFailing = this.failing === undefined || this.failing === operation
    if (this.failure === undefined || !isFailing || this.failuresLeft === 0) return
    if (this.failuresLeft !== undefined) this.failuresLeft--
    throw this.failure
  }
}
