import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Clock } from '../../../src/base/clock.ts'
import { SidecarError } from '../../../src/base/errors.ts'
import type { Pseudonymizer } from '../../../src/formats/pseudonym.ts'
import type { Sealer } from '../../../src/formats/sealed-value.ts'
import { KeyRecordError } from '../../../src/keys/records/key-record.ts'
import { BreakerOpenError } from '../../../src/kms/breaker.ts'
import { type KmsClass, KmsError } from '../../../src/kms/kms.ts'
import { KeyResolver, type TenantKeySource } from '../../../src/pipeline/request-keys.ts'

const sealer: Sealer = { announcementKey: 'betrace.key.k', announcement: '{}', sealAll: () => [] }
const pseudonymizer: Pseudonymizer = { pseudonym: () => 'tok' }
const realClock: Clock = { nowMs: Date.now, nowNs: () => 0n, monotonicMs: () => performance.now() }

const failure = (kmsClass: KmsClass): SidecarError =>
  new SidecarError('KEY_UNAVAILABLE', 'no usable key', {
    cause: new KmsError(kmsClass, 'decrypt', 'said no'),
  })

/** A cache that answers after so many failures, and counts how often it was asked. */
class FlakyKeys implements TenantKeySource {
  calls = 0
  #failures: SidecarError[]
  #sealer: Sealer | undefined

  constructor(failures: SidecarError[]) {
    this.#failures = failures
  }
  sealer(): Sealer | undefined {
    return this.#sealer
  }
  async loadSealer(): Promise<Sealer> {
    this.calls++
    const failure = this.#failures.shift()
    if (failure) throw failure
    this.#sealer = sealer
    return sealer
  }
  pseudonymizer(): undefined {}
  async loadPseudonymizer(): Promise<Pseudonymizer> {
    this.calls++
    const failed = this.#failures.shift()
    if (failed) throw failed
    return pseudonymizer
  }
  startWait(): () => void {
    return () => {}
  }
  signingKey(): undefined {}
  async loadSigningKey(): Promise<never> {
    throw failure('access_denied')
  }
}

function desk(
  keys: TenantKeySource,
  onKmsFailure: 'refuse' | 'mask',
  waits: { open: number; most: number },
): KeyResolver {
  const startWaiting = (): (() => void) => {
    waits.most = Math.max(waits.most, ++waits.open)
    return () => void waits.open--
  }
  return new KeyResolver({ keys, clock: realClock, onKmsFailure, startWaiting })
}

const until = (ms: number): { deadlineMs: number; abort: AbortSignal } => ({
  deadlineMs: performance.now() + ms,
  abort: new AbortController().signal,
})
const missing = [{ tenant: '__proto__', key: 'encryption' as const }]

describe('a request that needs a key', () => {
  test('waits through throttling and gets its key', async () => {
    const keys = new FlakyKeys([failure('throttled'), failure('timeout')])
    const waits = { open: 0, most: 0 }
    const wait = desk(keys, 'refuse', waits).open(until(5_000))
    expect(wait.tenantKeys(['__proto__'])[0]!.sealer).toBeUndefined()
    await wait.load(missing)
    expect(wait.tenantKeys(['__proto__'])[0]!.sealer).toBe(sealer)
    expect(keys.calls).toBe(3)
    expect(waits).toEqual({ open: 0, most: 1 })
  })

  test('is refused retryably at its own deadline, not later', async () => {
    const keys = new FlakyKeys(Array.from({ length: 100 }, () => failure('network')))
    const startedMs = performance.now()
    const refusal = desk(keys, 'refuse', { open: 0, most: 0 }).open(until(200)).load(missing)
    await expect(refusal).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE', isRetryable: true })
    expect(performance.now() - startedMs).toBeLessThan(2_000)
  })

  test('is refused at its own deadline also where the key service hangs after a while of failing', async () => {
    const keys = new FlakyKeys(Array.from({ length: 4 }, () => failure('network')))
    const answered = keys.loadSealer.bind(keys)
    const hung = (abort: AbortSignal) =>
      new Promise<never>((_, reject) => abort.addEventListener('abort', () => reject(failure('timeout'))))
    keys.loadSealer = (_tenant?: string, abort?: AbortSignal) => (keys.calls < 4 ? answered() : hung(abort!))
    const startedMs = performance.now()
    const refusal = desk(keys, 'refuse', { open: 0, most: 0 }).open(until(1_600)).load(missing)
    await expect(refusal).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE', isRetryable: true })
    expect(performance.now() - startedMs).toBeLessThan(2_000)
  })

  test('is refused at once when waiting cannot heal it', async () => {
    const keys = new FlakyKeys([failure('key_disabled')])
    await expect(
      desk(keys, 'refuse', { open: 0, most: 0 }).open(until(5_000)).load(missing),
    ).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' })
    expect(keys.calls).toBe(1)
  })

  test('is masked instead, only where the policy says so', async () => {
    const keys = new FlakyKeys([failure('key_disabled')])
    const wait = desk(keys, 'mask', { open: 0, most: 0 }).open(until(5_000))
    await wait.load(missing)
    expect(wait.tenantKeys(['__proto__', 'other']).map(({ sealer: at }) => at)).toEqual(['mask', undefined])
  })

  test('a hash without its key becomes a mask, whatever the policy for encryption', async () => {
    const keys = new FlakyKeys([failure('access_denied')])
    const wait = desk(keys, 'refuse', { open: 0, most: 0 }).open(until(5_000))
    await wait.load([{ tenant: 'a', key: 'pseudonym' }])
    expect(wait.tenantKeys(['a'])[0]!.pseudonymizer).toBe('mask')
    expect(keys.calls).toBe(1)
  })

  test('is not masked for a hiccup of the key service', async () => {
    for (const policy of ['refuse', 'mask'] as const) {
      const wait = desk(new FlakyKeys([failure('throttled')]), policy, { open: 0, most: 0 }).open(
        until(5_000),
      )
      await wait.load([{ tenant: 'a', key: 'pseudonym' }])
      expect(wait.tenantKeys(['a'])[0]!.pseudonymizer).toBe(pseudonymizer)
    }
    const wait = desk(new FlakyKeys([failure('throttled')]), 'mask', { open: 0, most: 0 }).open(until(5_000))
    await wait.load(missing)
    expect(wait.tenantKeys(['__proto__'])[0]!.sealer).toBe(sealer)
  })

  test('is masked at once where a breaker says that the service has been failing', async () => {
    const last = new KmsError('network', 'decrypt', 'no route')
    const open = new SidecarError('KEY_UNAVAILABLE', 'no usable key', {
      cause: new BreakerOpenError('decrypt', last, 5_000),
    })
    const keys = new FlakyKeys([open])
    const wait = desk(keys, 'mask', { open: 0, most: 0 }).open(until(60_000))
    await wait.load(missing)
    expect(wait.tenantKeys(['__proto__'])[0]!.sealer).toBe('mask')
    expect(keys.calls).toBe(1)
  })

  test('does not wait for a damaged record, which only people can mend', async () => {
    const damaged = new SidecarError('KEY_UNAVAILABLE', 'no usable key', {
      cause: new KeyRecordError('signing', 'a', 'k'),
    })
    const keys = new FlakyKeys([damaged])
    const wait = desk(keys, 'refuse', { open: 0, most: 0 }).open(until(60_000))
    await expect(wait.load(missing)).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' })
    expect(keys.calls).toBe(1)
  })

  test('asks no further for the others once one key refuses the request', async () => {
    let asked = 0
    const keys = new FlakyKeys([])
    keys.loadSealer = async () => {
      asked++
      throw failure(asked === 1 ? 'network' : 'key_disabled')
    }
    const wait = desk(keys, 'refuse', { open: 0, most: 0 }).open(until(60_000))
    const both = ['a', 'b'].map((tenant) => ({ tenant, key: 'encryption' as const }))
    await expect(wait.load(both)).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' })
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(asked).toBe(2)
  })

  test('may ask for something else with the same patience', async () => {
    const waits = { open: 0, most: 0 }
    const answers = [failure('throttled'), undefined]
    const answer = await desk(new FlakyKeys([]), 'refuse', waits)
      .open(until(5_000))
      .ask(async () => {
        const failed = answers.shift()
        if (failed) throw failed
        return 'yes'
      })
    expect(answer).toBe('yes')
    expect(waits).toEqual({ open: 0, most: 1 })
  })

  test('stops when its client goes away', async () => {
    const controller = new AbortController()
    const keys = new FlakyKeys(Array.from({ length: 100 }, () => failure('network')))
    const load = desk(keys, 'refuse', { open: 0, most: 0 })
      .open({ deadlineMs: performance.now() + 60_000, abort: controller.signal })
      .load(missing)
    controller.abort()
    await expect(load).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' })
  })

  test('keeps what it loaded, also when the cache has no room for all of its tenants', async () => {
    let loadCount = 0
    // Forgets at once: the smallest cache there is.
    const forgetful: TenantKeySource = {
      sealer: () => undefined,
      loadSealer: async () => {
        loadCount++
        return sealer
      },
      pseudonymizer: () => undefined,
      loadPseudonymizer: async () => ({ pseudonym: () => 'tok' }),
      startWait: () => () => {},
      signingKey: () => undefined,
      loadSigningKey: async (tenant) => ({
        keyId: tenant,
        privateKey: generateKeyPairSync('ed25519').privateKey,
        publicKey: new Uint8Array(32),
      }),
    }
    const tenants = Array.from({ length: 50 }, (_, index) => `tenant-${index}`)
    const wait = desk(forgetful, 'refuse', { open: 0, most: 0 }).open(until(5_000))
    await wait.load(tenants.map((tenant) => ({ tenant, key: 'encryption' as const })))
    expect(wait.tenantKeys(tenants).every(({ sealer: at }) => at === sealer)).toBe(true)
    await wait.loadSigning(tenants)
    expect([...wait.signingKeys(tenants).keys()]).toEqual(tenants)
    expect(loadCount).toBe(50)
  })
})
