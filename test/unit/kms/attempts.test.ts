import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type AttemptSettings, callWithAttempts } from '../../../src/kms/attempts.ts'
import { type KmsClass, KmsError } from '../../../src/kms/kms.ts'
import { providerText } from '../../../src/kms/provider-text.ts'

const never = new AbortController().signal
const parts: AttemptSettings = {
  limits: { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 3 },
  random: () => 0.5,
  errorOf: (thrown, operation) => new KmsError('network', operation, String(thrown)),
}
const failure = (kmsClass: KmsClass, retryAfterMs?: number): KmsError =>
  new KmsError(kmsClass, 'encrypt', 'x', retryAfterMs === undefined ? {} : { retryAfterMs })

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  expect(vi.getTimerCount(), 'timers that were left behind').toBe(0)
  vi.useRealTimers()
})

/** Runs a call against attempts that behave one after the other as told; when each began, and how it all ended. */
async function run(
  outcomes: readonly (unknown | (() => Promise<unknown>))[],
  signal: AbortSignal = never,
): Promise<{ startsMs: number[]; end: unknown; tookMs: number }> {
  const beginMs = Date.now()
  const startsMs: number[] = []
  const call = callWithAttempts(parts, 'encrypt', signal, async () => {
    const outcome = outcomes[startsMs.length]
    startsMs.push(Date.now() - beginMs)
    if (typeof outcome === 'function') return await outcome()
    if (outcome instanceof Error) throw outcome
    return outcome
  }).then(
    (value: unknown) => value,
    (error: unknown) => error,
  )
  await vi.runAllTimersAsync()
  return { startsMs, end: await call, tookMs: Date.now() - beginMs }
}

const hang = (): Promise<never> => new Promise(() => {})

test('a first success is the outcome, without a wait', async () => {
  expect(await run(['ok'])).toEqual({ startsMs: [0], end: 'ok', tookMs: 0 })
})

test('throttling, network failures and timeouts are tried again, each wait twice the last', async () => {
  for (const kmsClass of ['throttled', 'network', 'timeout'] as const) {
    const { startsMs, end } = await run([failure(kmsClass), failure(kmsClass), 'ok'])
    expect(startsMs).toEqual([0, 75, 225])
    expect(end).toBe('ok')
  }
})

test('no more attempts are made than allowed, and the last failure is told', async () => {
  const last = failure('throttled')
  const { startsMs, end } = await run([failure('network'), failure('network'), last, 'ok'])
  expect(startsMs.length).toBe(3)
  expect(end).toBe(last)
})

test('what cannot help is not tried again', async () => {
  const classes = [
    'access_denied',
    'key_disabled',
    'key_not_found',
    'invalid_ciphertext',
    'bad_request',
  ] as const
  for (const kmsClass of classes) {
    const error = failure(kmsClass)
    expect(await run([error, 'ok'])).toMatchObject({ startsMs: [0], end: error })
  }
})

test('a wait that the service asks for is kept, and one too long is left to the caller', async () => {
  expect((await run([failure('throttled', 900), 'ok'])).startsMs).toEqual([0, 900])
  expect((await run([failure('throttled', 10), 'ok'])).startsMs).toEqual([0, 75])
  const long = failure('throttled', 1_001)
  expect(await run([long, 'ok'])).toMatchObject({ startsMs: [0], end: long })
})

test('an attempt that hangs ends after its time, and the next one is made', async () => {
  const { startsMs, end } = await run([hang, 'ok'])
  expect(startsMs).toEqual([0, 5_075])
  expect(end).toBe('ok')
  const all = await run([hang, hang, hang])
  expect(all.end).toMatchObject({ kmsClass: 'timeout', providerMessage: 'No response after 5000ms' })
})

test('an attempt that fails because its time is over is a timeout, whatever it says', async () => {
  const late = new KmsError('timeout', 'encrypt', 'x')
  const aborting = (): Promise<never> =>
    new Promise((_, reject) => setTimeout(() => reject(new Error('odd')), 5_000))
  expect((await run([aborting, aborting, aborting])).end).toMatchObject({ kmsClass: late.kmsClass })
})

test('a caller that gave up before makes no call', async () => {
  const { startsMs, end } = await run(['ok'], AbortSignal.abort())
  expect(startsMs).toEqual([])
  expect(end).toMatchObject({ kmsClass: 'timeout', providerMessage: 'gave up waiting' })
})

test('a caller that gives up ends a hanging attempt at once, and one in a wait', async () => {
  const during = new AbortController()
  setTimeout(() => during.abort(), 40)
  const hanging = await run([hang], during.signal)
  expect(hanging).toMatchObject({ tookMs: 40, end: { kmsClass: 'timeout' } })
  const between = new AbortController()
  setTimeout(() => between.abort(), 40)
  const first = failure('network')
  expect(await run([first, 'ok'], between.signal)).toEqual({ startsMs: [0], end: first, tookMs: 40 })
})

test('what an SDK throws becomes an error of the taxonomy, and is tried again as such', async () => {
  const { startsMs, end } = await run([new Error('odd'), new Error('odd'), new Error('odd')])
  expect(startsMs.length).toBe(3)
  expect(end).toMatchObject({ kmsClass: 'network', operation: 'encrypt', providerMessage: 'Error: odd' })
})

test('waits are spread by the jitter between half and all of it', async () => {
  const first = async (random: number): Promise<number> => {
    const starts: number[] = []
    const jittered = { ...parts, random: () => random }
    const beginMs = Date.now()
    const call = callWithAttempts(jittered, 'encrypt', never, async () => {
      starts.push(Date.now() - beginMs)
      if (starts.length === 1) throw failure('network')
    })
    await vi.runAllTimersAsync()
    await call
    return starts[1]!
  }
  expect(await first(0)).toBe(50)
  expect(await first(1)).toBe(100)
})

test.each([
  ['line breaks and tabs', 'a\r\n\tb\u0000c', 'a b c'],
  ['a bearer token', 'token eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln!', 'token [redacted]!'],
  ['a key in base64', `key ${Buffer.alloc(32, 0xfb).toString('base64url')}.`, 'key [redacted].'],
  [
    'the name of a key',
    `${'projects/p/locations/l/keyRings/r/cryptoKeys/k'}`,
    'projects/p/locations/l/keyRings/r/cryptoKeys/k',
  ],
  ['the version of a key', '0123456789abcdef0123456789abcdef', '0123456789abcdef0123456789abcdef'],
])('a service’s text: %s', (_, text, expected) => {
  expect(providerText(text)).toBe(expected)
})

test('a service’s text is cut at 300 characters', () => {
  expect(providerText('x '.repeat(500)).length).toBe(300)
})
