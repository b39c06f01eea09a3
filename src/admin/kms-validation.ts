// The five tests of a key service, each run whatever became of the others, and what an operator should do about them.
import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { asSidecarError, SidecarError } from '../base/errors.ts'
import type { KmsContext } from '../formats/key-context.ts'
import { type Kms, type KmsClass, KmsError } from '../kms/kms.ts'
import { kmsFailureIn } from './kms-failure.ts'

export type KmsTest =
  | 'generate_data_key'
  | 'encrypt'
  | 'decrypt'
  | 'key_retrieval_cache_miss'
  | 'key_retrieval_cache_hit'

export interface KmsTestResult {
  readonly latencyMs: number
  /** `undefined`: passed. */
  readonly error: SidecarError | undefined
}

export interface KmsValidation {
  readonly provider: string
  readonly results: Readonly<Record<KmsTest, KmsTestResult>>
}

export interface ValidatedSettings {
  readonly kms: Pick<Kms, 'provider' | 'generateDataKey' | 'wrap' | 'unwrap'>
  readonly tenant: string
  readonly clock: Clock
  readonly randomBytes: (count: number) => Uint8Array
  /** Gets the tenant's signing key from the key service, past the cache and leaving it as it is. */
  readonly retrieve: (abort: AbortSignal) => Promise<void>
  /** Sees to it that the cache holds the key. */
  readonly warm: (abort: AbortSignal) => Promise<void>
  /** Whether the cache hands the key out, at once. */
  readonly isAtHand: () => boolean
}

const KEY_BYTES = 32

/** Runs every test in turn. Never rejects: what fails is in the results. */
export async function validateKms(parts: ValidatedSettings, abort: AbortSignal): Promise<KmsValidation> {
  const { kms, tenant, clock } = parts
  const context: KmsContext = { tenantId: tenant, purpose: 'probe' }
  const run = (test: () => Promise<void> | void): Promise<KmsTestResult> => timed(clock, test)
  const secret = parts.randomBytes(KEY_BYTES)
  // What there is to decrypt: the test's own ciphertext, or a generated key where encrypting failed.
  let sealed: { wrapped: Uint8Array; masterKeyId: string; plaintext: Uint8Array } | undefined

  const generate = await run(async () => {
    const generated = await kms.generateDataKey(context, abort)
    sealed = generated
    if (generated.plaintext.length !== KEY_BYTES) throw wrongAnswer('generate_data_key')
    if (generated.plaintext.every((byte) => byte === 0)) throw wrongAnswer('generate_data_key')
  })
  const encrypt = await run(async () => {
    const wrapped = await kms.wrap(secret, context, abort)
    if (Buffer.from(wrapped.wrapped).includes(Buffer.from(secret))) throw wrongAnswer('encrypt')
    sealed = { ...wrapped, plaintext: secret }
  })
  const decrypt = await run(async () => {
    if (sealed === undefined)
      throw new SidecarError('KMS', 'neither a generated nor a wrapped key is there to decrypt')
    const opened = await kms.unwrap(sealed.wrapped, sealed.masterKeyId, context, abort)
    const isSame = opened.length === sealed.plaintext.length && timingSafeEqual(opened, sealed.plaintext)
    opened.fill(0)
    if (!isSame) throw wrongAnswer('decrypt')
  })
  const miss = await run(() => parts.retrieve(abort))
  const warming = await run(() => parts.warm(abort))
  const hit = await run(() => {
    if (!parts.isAtHand())
      throw warming.error ?? new SidecarError('KEY_UNAVAILABLE', 'the cache holds no key')
  })
  sealed?.plaintext.fill(0)
  secret.fill(0)
  return {
    provider: kms.provider,
    results: {
      generate_data_key: generate,
      encrypt,
      decrypt,
      key_retrieval_cache_miss: miss,
      key_retrieval_cache_hit: hit,
    },
  }
}

async function timed(clock: Clock, test: () => Promise<void> | void): Promise<KmsTestResult> {
  const startMs = clock.monotonicMs()
  let error: SidecarError | undefined
  try {
    await test()
  } catch (thrown) {
    error = asSidecarError(thrown)
  }
  return { latencyMs: clock.monotonicMs() - startMs, error }
}

function wrongAnswer(operation: string): KmsError {
  return new KmsError('bad_request', operation, 'the service answered, but not with what was asked for')
}

const LATENCY_NAMES: Readonly<Record<KmsTest, string>> = {
  generate_data_key: 'generate_data_key',
  encrypt: 'encrypt',
  decrypt: 'decrypt',
  key_retrieval_cache_miss: 'cache_miss',
  key_retrieval_cache_hit: 'cache_hit',
}
const CALL_MS_TARGET = 100
const HIT_MS_TARGET = 10

/** As `POST /api/admin/kms/validate` prints it. The latency of a test that failed is null: it measured nothing. */
export function validationAnswer({ provider, results }: KmsValidation): object {
  const tests = Object.entries(results) as [KmsTest, KmsTestResult][] // a record's own keys
  const isPassed = tests.every(([, { error }]) => error === undefined)
  return {
    provider,
    overall: isPassed ? 'PASS' : 'FAIL',
    tests: Object.fromEntries(tests.map(([name, result]) => [name, verdict(result)])),
    latency_ms: Object.fromEntries(
      tests.map(([name, { latencyMs, error }]) => [LATENCY_NAMES[name], error ? null : shownMs(latencyMs)]),
    ),
    recommendations: recommendations(provider, tests),
  }
}

function verdict({ latencyMs, error }: KmsTestResult): string {
  if (error === undefined) return `PASS (${shownMs(latencyMs)}ms)`
  const kms = kmsFailureIn(error)
  return kms
    ? `FAIL (${shownMs(latencyMs)}ms): ${kms.kmsClass}: ${kms.providerMessage} (see ${kms.runbook})`
    : `FAIL (${shownMs(latencyMs)}ms): ${error.code === 'INTERNAL' ? 'internal error' : error.message}`
}

/** Whole milliseconds, but a cache hit is far below one. */
export function shownMs(ms: number): number {
  return ms < 10 ? Number(ms.toFixed(2)) : Math.round(ms)
}

const ADVICE: Readonly<Record<KmsClass, string>> = {
  access_denied:
    'allow generate, encrypt, decrypt and describe on the master key, in its policy and in the role',
  key_disabled: 'enable the master key, or cancel its deletion',
  key_not_found: 'check the id, region and account of the master key',
  throttled: 'raise the cache TTLs or the request quota of the key service',
  network: 'check name resolution, routes, firewall and TLS to the key service',
  timeout: 'check the state of the key service and the way to it',
  invalid_ciphertext: 'the key service does not open what it sealed: check that it is one key for both calls',
  bad_request: 'the key service refuses how it is called: check the type and usage of the master key',
}

function recommendations(provider: string, tests: readonly (readonly [KmsTest, KmsTestResult])[]): string[] {
  const advice = new Set<string>()
  // What the key service said explains what follows from it.
  const isKeyServices = tests.some(([, { error }]) => error && kmsFailureIn(error))
  for (const [name, { latencyMs, error }] of tests) {
    const kms = error && kmsFailureIn(error)
    const targetMs = name === 'key_retrieval_cache_hit' ? HIT_MS_TARGET : CALL_MS_TARGET
    if (kms) advice.add(`❌ ${kms.kmsClass}: ${ADVICE[kms.kmsClass]} (see ${kms.runbook})`)
    else if (error && !isKeyServices) advice.add(`❌ ${name} failed: see the log`)
    else if (latencyMs > targetMs) {
      advice.add(
        `⚠ ${name} took ${shownMs(latencyMs)} ms, over its target of ${targetMs} ms (see docs/runbooks/kms-high-latency.md)`,
      )
    }
  }
  if (provider === 'local') advice.add('⚠ the local key service is not for production: set kms.provider')
  if (advice.size === 0) advice.add('✅ KMS configuration is valid and ready for production')
  return [...advice]
}
