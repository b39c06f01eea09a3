// Between us and the service: slowness, silence, resets, nonsense, and clocks that disagree. After a fault that ends, the
// service must be of use again.
import { expect, vi } from 'vitest'
import { startBrokenTls } from './broken-tls.ts'
import type { Case, KmsTarget, OpenOptions } from './conformance.ts'
import {
  CONTEXT,
  expectFailure,
  IMPATIENT,
  keyLikeParts,
  never,
  roundTrip,
  withKms,
  withProxiedKms,
} from './expectations.ts'
import type { Fault } from './fault-proxy.ts'

const PATIENT = { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 3 }
const HOUR_MS = 3_600_000

export const NETWORK_CASES = {
  concurrency_100: {
    claim: 'a hundred calls at once each get their own answer',
    run: (target) =>
      withKms(
        target,
        { request: { connectTimeoutMs: 5_000, timeoutMs: 30_000, attemptsMax: 3 } },
        async (kms) => {
          const contexts = Array.from({ length: 100 }, (_, index) => ({ ...CONTEXT, keyId: `k${index}` }))
          const keys = await Promise.all(contexts.map((context) => kms.generateDataKey(context, never)))
          expect(new Set(keys.map(({ plaintext }) => Buffer.from(plaintext).toString('hex'))).size).toBe(100)
          const opened = await Promise.all(
            keys.map((key, index) => kms.unwrap(key.wrapped, key.masterKeyId, contexts[index]!, never)),
          )
          for (const [index, bytes] of opened.entries()) {
            expect(Buffer.compare(bytes, keys[index]!.plaintext)).toBe(0)
          }
        },
      ),
  },
  slow: {
    claim: 'an answer that comes late but in time is taken',
    needs: ['upstream'],
    run: (target) =>
      withProxiedKms(target, { request: PATIENT }, async (kms, proxy) => {
        proxy.set({ kind: 'latency', ms: 300 })
        const startMs = performance.now()
        await roundTrip(kms)
        expect(performance.now() - startMs).toBeGreaterThan(500)
      }),
  },
  throttled: {
    claim: 'a service that throttles without end is reported as throttling',
    needs: ['upstream'],
    run: (target) => misbehaves(target, 'throttled', 'throttled'),
  },
  throttled_briefly: {
    claim: 'a service that throttles once is asked again, and nobody notices',
    needs: ['upstream'],
    run: (target) => misbehavesOnce(target, 'throttled'),
  },
  broken: {
    claim: 'a service that answers 500 without end is reported as a network failure',
    needs: ['upstream'],
    run: (target) => misbehaves(target, 'broken', 'network'),
  },
  broken_briefly: {
    claim: 'a service that answers 500 once is asked again, and nobody notices',
    needs: ['upstream'],
    run: (target) => misbehavesOnce(target, 'broken'),
  },
  hung: {
    claim: 'a service that never answers is a timeout, after the attempts that are allowed and no later',
    needs: ['upstream'],
    run: (target) =>
      withProxiedKms(target, { request: IMPATIENT }, async (kms, proxy) => {
        proxy.set({ kind: 'hang' })
        const startMs = performance.now()
        await expectFailure(target, kms.generateDataKey(CONTEXT, never), 'timeout', 'generate_data_key')
        const tookMs = performance.now() - startMs
        expect(tookMs).toBeGreaterThan(IMPATIENT.timeoutMs - 50)
        expect(tookMs).toBeLessThan(8 * IMPATIENT.timeoutMs)
        await recovers(target, proxy.url, () => proxy.set({ kind: 'none' }))
      }),
  },
  hung_in_answer: {
    claim: 'a service that falls silent inside its answer is a timeout too',
    needs: ['upstream'],
    run: (target) =>
      withProxiedKms(target, { request: IMPATIENT }, async (kms, proxy) => {
        proxy.set({ kind: 'half', ending: 'silence' })
        const startMs = performance.now()
        const call = kms.generateDataKey(CONTEXT, never)
        await expectFailure(target, call, 'timeout', 'generate_data_key')
        expect(performance.now() - startMs).toBeLessThan(8 * IMPATIENT.timeoutMs)
      }),
  },
  aborted: {
    claim: 'a call whose caller gave up ends at once, as a timeout',
    needs: ['upstream'],
    run: (target) =>
      withProxiedKms(target, { request: PATIENT }, async (kms, proxy) => {
        await expectFailure(
          target,
          kms.generateDataKey(CONTEXT, AbortSignal.abort()),
          'timeout',
          'generate_data_key',
        )
        proxy.set({ kind: 'hang' })
        const startMs = performance.now()
        const call = kms.generateDataKey(CONTEXT, AbortSignal.timeout(200))
        await expectFailure(target, call, 'timeout', 'generate_data_key')
        expect(performance.now() - startMs).toBeLessThan(1_500)
        proxy.set({ kind: 'none' })
        await roundTrip(kms)
      }),
  },
  refused: {
    claim: 'a service that nobody listens for is a network failure, until it listens',
    needs: ['upstream'],
    run: (target) =>
      withProxiedKms(target, { request: { ...PATIENT, attemptsMax: 2 } }, async (kms, proxy) => {
        await proxy.refuse()
        await expectFailure(target, kms.generateDataKey(CONTEXT, never), 'network', 'generate_data_key')
        await expectFailure(target, kms.describe(never), 'network', 'describe_key')
        await proxy.accept()
        await roundTrip(kms)
      }),
  },
  reset: {
    claim: 'a connection that is reset is a network failure, and the next one works',
    needs: ['upstream'],
    run: (target) =>
      withProxiedKms(target, { request: { ...PATIENT, attemptsMax: 2 } }, async (kms, proxy) => {
        proxy.set({ kind: 'reset' })
        await expectFailure(target, kms.generateDataKey(CONTEXT, never), 'network', 'generate_data_key')
        proxy.set({ kind: 'none' })
        await roundTrip(kms)
      }),
  },
  half_answer: {
    claim: 'half an answer is a network failure, and none of what it held shows in the error',
    needs: ['upstream'],
    run: async (target) => {
      for (const ending of ['reset', 'end'] as const) {
        await withProxiedKms(target, { request: { ...PATIENT, attemptsMax: 2 } }, async (kms, proxy) => {
          proxy.set({ kind: 'half', ending })
          const call = kms.generateDataKey(CONTEXT, never)
          const error = await expectFailure(target, call, 'network', 'generate_data_key')
          const held = proxy.cutAnswers.flatMap(keyLikeParts)
          if (target.upstream!().layer === 'http') expect(held.length).toBeGreaterThan(0)
          await expectFailure(target, Promise.reject(error), 'network', 'generate_data_key', held)
          proxy.set({ kind: 'none' })
          await roundTrip(kms)
        })
      }
    },
  },
  tls_untrusted: {
    claim: 'a certificate that nobody vouches for is a network failure',
    needs: ['upstream'],
    run: (target) => brokenTls(target, 'untrusted', 'network'),
  },
  tls_plain: {
    claim: 'a port that does not speak TLS is a network failure',
    needs: ['upstream'],
    run: (target) => brokenTls(target, 'plain', 'network'),
  },
  tls_silent: {
    claim: 'a TLS handshake that is never answered is a timeout',
    needs: ['upstream'],
    run: (target) => brokenTls(target, 'silent', 'timeout'),
  },
  clock_skew: {
    claim: 'a client whose clock is an hour off, either way, still works',
    needs: ['upstream'],
    run: async (target) => {
      for (const skewMs of [-HOUR_MS, HOUR_MS]) {
        vi.useFakeTimers({ toFake: ['Date'], now: trueNowMs() + skewMs })
        try {
          await withProxiedKms(target, { request: PATIENT }, async (kms, proxy) => {
            let refusals = 0
            proxy.set((request): Fault => {
              const fault = target.clockGate?.(request, trueNowMs()) ?? { kind: 'none' }
              if (fault.kind !== 'none') refusals++
              return fault
            })
            await roundTrip(kms)
            if (target.clockGate !== undefined) expect(refusals, 'the gate saw the skew').toBeGreaterThan(0)
          })
        } finally {
          vi.useRealTimers()
        }
      }
    },
  },
} satisfies Record<string, Case>

/** Wall time that does not follow the faked `Date`. */
function trueNowMs(): number {
  return performance.timeOrigin + performance.now()
}

async function misbehave(
  target: KmsTarget,
  how: 'throttled' | 'broken',
  callsMax: number,
  options: OpenOptions,
  use: Parameters<typeof withProxiedKms>[2],
): Promise<void> {
  await withProxiedKms(target, options, async (kms, proxy) => {
    if (target.misbehave !== undefined) {
      const restore = await target.misbehave(how, callsMax)
      try {
        await use(kms, proxy)
      } finally {
        await restore()
      }
      return
    }
    const answer =
      how === 'throttled' ? target.throttledAnswer : (target.brokenAnswer ?? { status: 500, body: 'oops' })
    if (answer === undefined) return expect.fail('the target has neither throttledAnswer nor misbehave')
    proxy.set(({ index }) => (index < callsMax ? { kind: 'answer', answer } : { kind: 'none' }))
    await use(kms, proxy)
  })
}

async function misbehaves(
  target: KmsTarget,
  how: 'throttled' | 'broken',
  kmsClass: 'throttled' | 'network',
): Promise<void> {
  const request = { ...PATIENT, attemptsMax: 2 }
  await misbehave(target, how, 1_000, { request }, async (kms) => {
    await expectFailure(target, kms.generateDataKey(CONTEXT, never), kmsClass, 'generate_data_key')
    await expectFailure(target, kms.wrap(Uint8Array.of(1), CONTEXT, never), kmsClass, 'encrypt')
  })
}

async function misbehavesOnce(target: KmsTarget, how: 'throttled' | 'broken'): Promise<void> {
  await misbehave(target, how, 1, { request: PATIENT }, (kms) => roundTrip(kms))
}

async function recovers(target: KmsTarget, url: string, heal: () => void): Promise<void> {
  heal()
  await withKms(target, { url, request: PATIENT }, (kms) => roundTrip(kms))
}

async function brokenTls(
  target: KmsTarget,
  how: 'untrusted' | 'plain' | 'silent',
  kmsClass: 'network' | 'timeout',
): Promise<void> {
  const broken = await startBrokenTls(how)
  try {
    await withKms(target, { url: broken.url, request: IMPATIENT }, async (kms) => {
      await expectFailure(target, kms.generateDataKey(CONTEXT, never), kmsClass, 'generate_data_key')
    })
  } finally {
    await broken.close()
  }
}
