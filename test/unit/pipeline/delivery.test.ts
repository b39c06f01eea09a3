import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { SidecarError } from '../../../src/errors.ts'
import {
  type AckMode,
  type NewRecord,
  type QueueStore,
  StoredDelivery,
} from '../../../src/pipeline/delivery.ts'

const statement: NewRecord = { key: Uint8Array.of(1), value: Uint8Array.of(2) }
const entry = {
  signal: 'traces' as const,
  itemCount: 3,
  acceptedAtMs: 0,
  body: new Uint8Array(10),
  refs: new Uint8Array(0),
}
const waiting = (ms: number) => ({ deadlineMs: performance.now() + ms, abort: new AbortController().signal })

function store(overrides: Partial<QueueStore> = {}): QueueStore {
  return {
    queueBytesUsed: 0,
    queueBytesMax: 1000,
    append: () => ({ written: Promise.resolve(7), durable: Promise.resolve(7) }),
    exported: () => Promise.resolve(),
    ...overrides,
  }
}

function delivery(over: QueueStore, ack: AckMode = 'durable', failed: NewRecord[] = []): StoredDelivery {
  return new StoredDelivery({
    store: over,
    ack,
    clock: systemClock,
    retryAfterMs: () => 1234,
    onFailed: (statements) => void failed.push(...statements),
  })
}

describe('delivery into the store', () => {
  test('waits for room and is refused with a hint when there is none', async () => {
    const full = delivery(store({ queueBytesUsed: 990 }))
    await expect(full.room(100, waiting(60))).rejects.toMatchObject({
      code: 'QUEUE_FULL',
      retryAfterMs: 1234,
    })
  })

  test('goes on as soon as room appears', async () => {
    const queue = { ...store(), queueBytesUsed: 990 }
    const room = delivery(queue).room(100, waiting(5_000))
    queue.queueBytesUsed = 0
    await expect(room).resolves.toBeUndefined()
  })

  test('asks nobody to wait when there is room', () => {
    expect(delivery(store()).room(100, waiting(0))).toBeUndefined()
  })

  test.each(['durable', 'enqueue'] as const)(
    'with ack %s a failed commit is STORE_FAILED, and its statements go back to evidence',
    async (ack) => {
      const broken = Promise.reject(new Error('EIO'))
      const fine = Promise.resolve(1)
      const append = () =>
        ack === 'durable' ? { durable: broken, written: fine } : { durable: fine, written: broken }
      const failed: NewRecord[] = []
      const refused = delivery(store({ append }), ack, failed).deliver(entry, [statement])
      await expect(refused).rejects.toMatchObject({ code: 'STORE_FAILED', isRetryable: true })
      expect(failed).toEqual([statement])
    },
  )

  test('a store that refuses at once is passed on as it is', async () => {
    const append = (): never => {
      throw new SidecarError('QUEUE_FULL', 'queue is full')
    }
    const failed: NewRecord[] = []
    await expect(
      delivery(store({ append }), 'durable', failed).deliver(entry, [statement]),
    ).rejects.toMatchObject({ code: 'QUEUE_FULL' })
    expect(failed).toHaveLength(1)
  })

  test('with ack exported OK waits until every next hop has it', async () => {
    let isExported = false
    let release = (): void => undefined
    const exported = (sequence: number): Promise<void> => {
      expect(sequence).toBe(7)
      return new Promise((resolve) => {
        release = resolve
      })
    }
    const done = delivery(store({ exported }), 'exported')
      .deliver(entry, [])
      .then(() => {
        isExported = true
      })
    await new Promise(setImmediate)
    expect(isExported).toBe(false)
    release()
    await done
    expect(isExported).toBe(true)
  })
})
