// Keys over the real local key service behind its door, with a clock of the test's own and metrics to read.
import { PassThrough } from 'node:stream'
import { afterEach } from 'vitest'
import { createTelemetry, Registry } from '../../../src/base/telemetry.ts'
import { KEYS_DEFAULTS, Keys, type KeysOptions } from '../../../src/keys/keys.ts'
import { revokeSigningKey } from '../../../src/keys/signing/signing-keys.ts'
import { attributePlace } from '../formats/places.ts'
import { DoorKms } from '../kms/key-service.ts'
import { ManualClock } from '../kms/manual-clock.ts'
import { MemoryKeyStore } from './memory-keystore.ts'

export const never = new AbortController().signal
export const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS

const opened: Keys[] = []
afterEach(async () => {
  for (const keys of opened.splice(0)) await keys.close()
})

export interface BuildOptions {
  readonly kms?: DoorKms
  readonly store?: MemoryKeyStore
  readonly clock?: ManualClock
  readonly options?: Partial<KeysOptions>
}

export async function build({ kms, store, clock, options }: BuildOptions = {}) {
  const parts = {
    kms: kms ?? (await DoorKms.open()),
    store: store ?? new MemoryKeyStore(),
    clock: clock ?? new ManualClock(),
  }
  const logged = new PassThrough()
  const { log } = await createTelemetry({ level: 'info', encoding: 'json', destination: logged })
  const registry = new Registry()
  const keys = new Keys(
    { ...parts, log, registry, random: () => 0 },
    { ...KEYS_DEFAULTS, dataClasses: ['email', 'name'], ...options },
  )
  opened.push(keys)
  const value = async (name: string): Promise<string> => {
    const text = await registry.metrics()
    return (
      text
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.split(' ')[1] ?? 'absent'
    )
  }
  /** As the command does, with the sidecar stopped: nothing is cached at the next start. */
  const revoke = async (tenant: string, keyId: string): Promise<boolean> => {
    const { isNew } = await revokeSigningKey(parts, tenant, keyId)
    keys.flush(tenant)
    return isNew
  }
  return { ...parts, keys, revoke, logger: log, registry, value, log: () => String(logged.read() ?? '') }
}

export const item = {
  plaintext: Buffer.from('\n\u0005alice'),
  place: attributePlace('user'),
  dataClass: 'name',
}
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
