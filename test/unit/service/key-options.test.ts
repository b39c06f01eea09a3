// Every setting of `kms.cache` and `kms.rotation`, and what else of the configuration is about keys, arrives where it works.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { loadConfig } from '../../../src/config/load.ts'
import type { SidecarConfig } from '../../../src/config/schema.ts'
import { createSharedRoot, formatPseudonymKeys } from '../../../src/keys/data/pseudonym-file.ts'
import { KEYS_DEFAULTS, type KeysOptions } from '../../../src/keys/keys.ts'
import { createRotation, keysOptions } from '../../../src/service/key-options.ts'
import { build } from '../keys/keys-fixture.ts'
import { DoorKms } from '../kms/key-service.ts'

const root = resolve(import.meta.dirname, '../../..')
const folder = mkdtempSync(join(tmpdir(), 'betrace-key-options-'))
const never = new AbortController().signal
const DAY_MS = 86_400_000
afterAll(() => rmSync(folder, { recursive: true, force: true }))
afterEach(() => {
  vi.useRealTimers()
})

async function configWith(...sets: string[]): Promise<SidecarConfig> {
  const { config, problems } = await loadConfig({
    files: ['collector-config.yaml'],
    sets,
    env: {},
    cwd: root,
  })
  expect(problems).toEqual([])
  return config!
}

const processors = { dataClasses: ['person', 'card'], tenantSecret: true, idsBound: true, padded: false }

async function optionsWith(...sets: string[]): Promise<KeysOptions> {
  return keysOptions(await configWith(...sets), processors)
}

test('what is not set is as the defaults say', async () => {
  // The two bounds in time follow from the default attempts: 3 of 5 s, and pauses of up to 2 s between them.
  const bounds = { requestMsMax: 19_000, loadMsMax: 38_000 }
  expect(await optionsWith()).toEqual({ ...KEYS_DEFAULTS, ...processors, ...bounds })
})

test.each<[string, Partial<KeysOptions>]>([
  ['kms.cache.private_key_ttl=7m', { privateKeyTtlMs: 7 * 60_000 }],
  ['kms.cache.public_key_ttl=11h', { publicKeyTtlMs: 11 * 3_600_000 }],
  ['kms.cache.encryption_key_ttl=13m', { encryptionKeyTtlMs: 13 * 60_000 }],
  ['kms.cache.max_size=17', { sizeMax: 17 }],
  ['kms.cache.stale_grace=19s', { staleGraceMs: 19_000 }],
  ['kms.rotation.max_age_days=23', { signingKeyAgeMsMax: 23 * DAY_MS }],
  ['kms.request.timeout=1s', { requestMsMax: 7_000, loadMsMax: 14_000 }],
  ['kms.request.max_attempts=1', { requestMsMax: 5_000, loadMsMax: 10_000 }],
  ['storage.announcements_max=2000', { announcementsMax: 2_000 }],
  ['kms.breaker.open_duration=300ms', { failureMsMax: 300 }],
  ['kms.breaker.open_duration=60s', {}],
])('%s changes this and nothing else', async (set, changed) => {
  expect(await optionsWith(set)).toEqual({ ...(await optionsWith()), ...changed })
})

test('the pseudonym key file is read, and one that is not there is named', async () => {
  const kms = await DoorKms.open()
  const shared = await createSharedRoot(kms, never)
  const path = join(folder, 'pseudonyms.json')
  writeFileSync(path, formatPseudonymKeys({ shared, tenants: new Map() }))
  const { pseudonymKeys } = await optionsWith(`kms.pseudonym_key_file=${path}`)
  expect(pseudonymKeys?.shared?.id).toBe(shared.id)
  await expect(optionsWith(`kms.pseudonym_key_file=${join(folder, 'none')}`)).rejects.toMatchObject({
    code: 'CONFIG',
    message: expect.stringContaining('kms.pseudonym_key_file: '),
  })
})

async function rotationWith(...sets: string[]) {
  const { keys, clock } = await build()
  return { clock, rotation: createRotation(await configWith(...sets), keys, { ...silentTelemetry(), clock }) }
}

test('rotation that is switched off plans no check', async () => {
  const { rotation: off } = await rotationWith('kms.rotation.enabled=false')
  const { rotation: on } = await rotationWith()
  for (const rotation of [off, on]) rotation.start()
  expect([off.state().isEnabled, off.state().nextCheckMs]).toEqual([false, undefined])
  expect([on.state().isEnabled, on.state().nextCheckMs]).toEqual([true, expect.any(Number)])
  for (const rotation of [off, on]) await rotation.stop()
})

test.each([
  ['kms.rotation.check_cron=0 30 4 * * ?', 4.5],
  ['kms.rotation.enabled=true', 2],
])('%s: after its first check it comes at its hour', async (set, hour) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  const { keys } = await build()
  const rotation = createRotation(await configWith(set), keys, { ...silentTelemetry(), clock: systemClock })
  rotation.start()
  await vi.advanceTimersByTimeAsync(60_000)
  const { nextCheckMs } = rotation.state()
  const sinceHourMs = (nextCheckMs! % DAY_MS) - hour * 3_600_000
  expect(sinceHourMs).toBeGreaterThanOrEqual(0)
  expect(sinceHourMs).toBeLessThanOrEqual(60_000)
  await rotation.stop()
})
