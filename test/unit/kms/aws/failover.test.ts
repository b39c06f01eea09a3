import { beforeEach, describe, expect, test } from 'vitest'
import type { AwsKey } from '../../../../src/kms/aws/arn.ts'
import { AwsFailover } from '../../../../src/kms/aws/failover.ts'
import { type KmsClass, KmsError } from '../../../../src/kms/kms.ts'
import { ManualClock } from '../manual-clock.ts'

const never = new AbortController().signal
const KEYS: readonly AwsKey[] = ['a', 'b', 'c'].map((region) => ({ id: `key-${region}`, region }))
const [FIRST] = KEYS

let clock: ManualClock
let failover: AwsFailover
let news: string[]
let broken: Map<string, KmsClass>
let asked: string[]

beforeEach(() => {
  clock = new ManualClock()
  news = []
  asked = []
  broken = new Map()
  failover = new AwsFailover(clock, (region, failure) => news.push(`${region} ${failure ?? 'works'}`))
})

async function ask(keys = KEYS, signal = never): Promise<string> {
  return await failover.first(keys, signal, async ({ key, hasNext }) => {
    asked.push(`${key.region}${hasNext ? '' : ' last'}`)
    const kmsClass = broken.get(key.region)
    if (kmsClass !== undefined) throw new KmsError(kmsClass, 'decrypt', `from ${key.region}`)
    return key.region
  })
}

const failureOf = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error)

describe('while all is well', () => {
  test('only the first region is asked', async () => {
    expect(await ask()).toBe('a')
    expect(asked).toEqual(['a'])
    expect(news).toEqual([])
  })
})

describe('a region that fails', () => {
  for (const kmsClass of ['network', 'timeout', 'throttled', 'key_disabled'] as const) {
    test(`with ${kmsClass} passes the call on, in order`, async () => {
      broken.set('a', kmsClass).set('b', kmsClass)
      expect(await ask()).toBe('c')
      expect(asked).toEqual(['a', 'b', 'c last'])
      expect(news).toEqual([`a ${kmsClass}`, `b ${kmsClass}`])
    })
  }

  for (const kmsClass of ['access_denied', 'key_not_found', 'invalid_ciphertext', 'bad_request'] as const) {
    test(`with ${kmsClass} is the answer`, async () => {
      broken.set('a', kmsClass)
      expect(await failureOf(ask())).toMatchObject({ kmsClass })
      expect(asked).toEqual(['a'])
      expect(news).toEqual([])
    })
  }

  test('is asked last for 30 seconds, then first again', async () => {
    broken.set('a', 'network')
    await ask()
    broken.delete('a')
    asked = []
    clock.advance(29_999)
    expect(await ask()).toBe('b')
    expect(asked).toEqual(['b'])
    clock.advance(1)
    expect(await ask()).toBe('a')
    expect(news).toEqual(['a network', 'a works'])
  })

  test('is news once, however long it fails', async () => {
    broken.set('a', 'network')
    for (let round = 0; round < 5; round++) {
      await ask()
      clock.advance(31_000)
    }
    expect(news).toEqual(['a network'])
  })

  test('is asked when all others fail', async () => {
    broken.set('a', 'network')
    await ask()
    broken.set('b', 'network').set('c', 'network').delete('a')
    expect(await ask()).toBe('a')
  })
})

describe('when every region fails', () => {
  test('the failure that may pass is told, wherever it came', async () => {
    broken.set('a', 'key_disabled').set('b', 'throttled').set('c', 'key_disabled')
    expect(await failureOf(ask())).toMatchObject({ kmsClass: 'throttled', providerMessage: 'from b' })
  })
  test('or else the first', async () => {
    broken.set('a', 'key_disabled').set('b', 'access_denied').set('c', 'key_not_found')
    expect(await failureOf(ask())).toMatchObject({ kmsClass: 'key_disabled', providerMessage: 'from a' })
  })
  test('a replica that may not be used does not hide that the primary is out of reach', async () => {
    broken.set('a', 'network').set('b', 'access_denied').set('c', 'access_denied')
    expect(await failureOf(ask())).toMatchObject({ kmsClass: 'network' })
  })
  test('nor while the primary is asked last', async () => {
    broken.set('a', 'network')
    await ask()
    broken.set('b', 'access_denied').set('c', 'access_denied')
    asked = []
    expect(await failureOf(ask())).toMatchObject({ kmsClass: 'network' })
    expect(asked).toEqual(['b', 'c', 'a last'])
  })
  test('a verdict on the ciphertext ends the search', async () => {
    broken.set('a', 'network').set('b', 'invalid_ciphertext')
    expect(await failureOf(ask())).toMatchObject({ kmsClass: 'invalid_ciphertext' })
    expect(asked).toEqual(['a', 'b'])
  })
})

describe('one region alone', () => {
  test('fails with its own failure, and nothing is remembered', async () => {
    broken.set('a', 'network')
    expect(await failureOf(ask([FIRST!]))).toMatchObject({ kmsClass: 'network' })
    expect(news).toEqual([])
  })
})

describe('a caller that gives up', () => {
  const leaving = async (afterMs: number): Promise<unknown> => {
    const caller = new AbortController()
    return await failureOf(
      failover.first(KEYS, caller.signal, async ({ key }) => {
        asked.push(key.region)
        clock.advance(afterMs)
        caller.abort()
        throw new KmsError('timeout', 'decrypt', 'gave up waiting')
      }),
    )
  }
  test('after a second has shown that the region hangs, and nobody else is asked for it', async () => {
    expect(await leaving(1_000)).toMatchObject({ kmsClass: 'timeout' })
    expect(asked).toEqual(['a'])
    expect(await ask()).toBe('b')
  })
  test('at once has shown nothing', async () => {
    await leaving(999)
    expect(await ask()).toBe('a')
  })
})

test('what is no failure of the key service goes through as it is', async () => {
  const bug = new TypeError('bug')
  const call = failover.first(KEYS, never, () => Promise.reject(bug))
  expect(await failureOf(call)).toBe(bug)
})
