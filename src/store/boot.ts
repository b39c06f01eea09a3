// What the store knows of itself: which installation this is, and how many times it was opened.
import { randomUUID } from 'node:crypto'
import { SidecarError } from '../base/errors.ts'
import type { Environment, Write } from './environment.ts'

const INSTANCE_KEY = Buffer.from('store/instance')
const BOOT_KEY = Buffer.from('store/boot')

/** Counts this boot, on disk before it returns, so that no two boots share a number. */
export async function startBoot(environment: Environment): Promise<{ instanceId: string; boot: number }> {
  const stored = environment.databases.meta.get(INSTANCE_KEY)
  const instanceId = stored ? Buffer.from(stored).toString('utf8') : randomUUID()
  const boot = readNumber(environment, BOOT_KEY) + 1
  try {
    await environment.commit([
      { database: 'meta', key: INSTANCE_KEY, value: Buffer.from(instanceId) },
      metaNumber(BOOT_KEY, boot),
    ])
  } catch (cause) {
    throw new SidecarError('STORE_FAILED', 'the store could not write', { cause })
  }
  return { instanceId, boot }
}

export function metaNumber(key: Uint8Array, value: number): Write {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return { database: 'meta', key, value: bytes }
}

export function readNumber(environment: Environment, key: Uint8Array): number {
  const value = environment.databases.meta.get(key)
  return value?.length === 8 ? Buffer.from(value).readDoubleBE() : 0
}
