// The key cache: what a hit costs, how often it hits, and how many calls a cold start makes. The key service is the
// local provider behind a counter and the delay of a remote service.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Clock, systemClock } from '../src/base/clock.ts'
import { silentTelemetry } from '../src/base/telemetry.ts'
import { KEYS_DEFAULTS, Keys } from '../src/keys/keys.ts'
import { MemoryKeyStore } from '../src/keys/records/memory-key-store.ts'
import type { Kms } from '../src/kms/kms.ts'
import { openLocalKms } from '../src/kms/local/open.ts'

export interface KeysResult {
  /** One look-up of both keys that a request needs, microseconds. */
  readonly cachedP50Us: number
  readonly cachedP99Us: number
  /** Hits over look-ups, a day of clock time in which keys expire after one hour. */
  readonly hitRatio: number
  readonly lookups: number
  /** Calls to the key service an hour, all tenants together, at a request each ten seconds and tenant. */
  readonly callsPerHour: number
  /** The same at a request each second: calls follow tenants and TTL, not the rate. */
  readonly callsPerHourTenfold: number
  /** What a miss takes beyond the key service's own time, p99, milliseconds. */
  readonly missOverheadP99Ms: number
  /** Calls for 3,000 concurrent requests of one tenant that nobody has asked for before. */
  readonly coldCalls: number
}

const TENANT_COUNT = 100
const COLD_REQUESTS = 3_000
const REMOTE_MS = 5
const HOUR_MS = 3_600_000
// A key is replaced ahead of its time, on average every 0.825 hours: few hours would hold too few replacements to count.
const HOURS = 24
const MISSES = 400

export async function benchKeys(): Promise<KeysResult> {
  const folder = mkdtempSync(join(tmpdir(), 'betrace-bench-keys-'))
  try {
    const calm = await steadyState(folder, 10_000)
    const busy = await steadyState(folder, 1_000)
    return {
      ...busy,
      callsPerHour: calm.callsPerHour,
      callsPerHourTenfold: busy.callsPerHour,
      ...(await cached(folder)),
      missOverheadP99Ms: await missOverhead(folder),
      coldCalls: await cold(folder),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function cached(folder: string): Promise<Pick<KeysResult, 'cachedP50Us' | 'cachedP99Us'>> {
  const { keys } = await openKeys(folder, systemClock)
  const tenants = await loadTenants(keys)
  const lookups = 400_000
  const tookNs = new Float64Array(lookups)
  for (let index = 0; index < lookups; index++) {
    const tenant = tenants[index % tenants.length]!
    const startNs = process.hrtime.bigint()
    const isHit = keys.sealer(tenant) !== undefined && keys.signingKey(tenant) !== undefined
    tookNs[index] = Number(process.hrtime.bigint() - startNs)
    if (!isHit) throw new Error('a key that was just loaded is not at hand')
  }
  await keys.close()
  const measured = tookNs.subarray(lookups / 4).sort() // the first quarter warms the code up
  const atUs = (share: number) => measured[Math.floor(share * measured.length)]! / 1000
  return { cachedP50Us: atUs(0.5), cachedP99Us: atUs(0.99) }
}

/** A request of every tenant each `stepMs`, for hours of a clock that the bench moves. */
async function steadyState(
  folder: string,
  stepMs: number,
): Promise<Pick<KeysResult, 'hitRatio' | 'lookups' | 'callsPerHour'>> {
  let nowMs = 1_760_000_000_000
  const clock: Clock = {
    nowMs: () => nowMs,
    nowNs: () => BigInt(nowMs) * 1_000_000n,
    monotonicMs: () => nowMs,
  }
  const { keys, calls } = await openKeys(folder, clock, 0)
  const tenants = await loadTenants(keys)
  const callsBefore = calls()
  const endMs = nowMs + HOURS * HOUR_MS
  while (nowMs < endMs) {
    nowMs += stepMs
    for (const tenant of tenants) {
      if (keys.sealer(tenant) === undefined) await keys.loadSealer(tenant, AbortSignal.timeout(10_000))
      if (keys.signingKey(tenant) === undefined)
        await keys.loadSigningKey(tenant, AbortSignal.timeout(10_000))
    }
    await nextTurn() // for what refreshes itself in the background
  }
  const { encryption, signing } = keys.status().caches
  const callsPerHour = (calls() - callsBefore) / HOURS
  await keys.close()
  return {
    hitRatio: Math.min(encryption.hitRatio, signing.hitRatio),
    lookups: encryption.hits + encryption.misses + signing.hits + signing.misses,
    callsPerHour,
  }
}

/** One tenant after the other that nobody has asked for before. */
async function missOverhead(folder: string): Promise<number> {
  const { keys } = await openKeys(folder, systemClock)
  const tookMs: number[] = []
  for (let index = 0; index < MISSES; index++) {
    const startMs = performance.now()
    await keys.loadSealer(`miss-${index}`, AbortSignal.timeout(10_000))
    tookMs.push(performance.now() - startMs - REMOTE_MS)
  }
  await keys.close()
  return tookMs.sort((left, right) => left - right)[Math.floor(0.99 * MISSES)]!
}

async function cold(folder: string): Promise<number> {
  const { keys, calls } = await openKeys(folder, systemClock)
  const abort = AbortSignal.timeout(30_000)
  const sealers = await Promise.all(
    Array.from({ length: COLD_REQUESTS }, () => keys.loadSealer('cold', abort)),
  )
  if (sealers.some((sealer) => sealer !== sealers[0])) throw new Error('two requests got different keys')
  await keys.close()
  return calls()
}

async function loadTenants(keys: Keys): Promise<string[]> {
  const tenants = Array.from({ length: TENANT_COUNT }, (_, index) => `tenant-${index}`)
  const abort = AbortSignal.timeout(30_000)
  await Promise.all(
    tenants.flatMap((tenant) => [keys.loadSealer(tenant, abort), keys.loadSigningKey(tenant, abort)]),
  )
  return tenants
}

async function openKeys(
  folder: string,
  clock: Clock,
  delayMs = REMOTE_MS,
): Promise<{ keys: Keys; calls: () => number }> {
  const { log, registry } = silentTelemetry()
  const local = await openLocalKms({
    keyFile: join(folder, 'local-kms.key'),
    allowInProduction: false,
    nodeEnv: undefined,
    tenantKeyMapping: new Map(),
    create: true,
    log,
  })
  const counted = countCalls(local, delayMs)
  const keys = new Keys(
    { kms: counted.kms, store: new MemoryKeyStore(), clock, log, registry, random: () => 0.5 },
    { ...KEYS_DEFAULTS, dataClasses: ['customer'] },
  )
  return { keys, calls: counted.calls }
}

/** A key service that takes as long as a remote one and counts the calls that cost money. */
function countCalls(kms: Kms, delayMs: number): { kms: Kms; calls: () => number } {
  let calls = 0
  const remote = async <T>(call: () => Promise<T>): Promise<T> => {
    calls++
    if (delayMs > 0) await sleep(delayMs)
    return call()
  }
  return {
    calls: () => calls,
    kms: {
      provider: kms.provider,
      masterKeyId: kms.masterKeyId,
      generateDataKey: (context, signal) => remote(() => kms.generateDataKey(context, signal)),
      wrap: (plaintext, context, signal) => remote(() => kms.wrap(plaintext, context, signal)),
      unwrap: (wrapped, id, context, signal) => remote(() => kms.unwrap(wrapped, id, context, signal)),
      describe: (signal) => remote(() => kms.describe(signal)),
      close: () => kms.close(),
    },
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(JSON.stringify(await benchKeys()))
