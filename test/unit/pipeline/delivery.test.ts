import { describe, expect, test, vi } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { SidecarError } from '../../../src/base/errors.ts'
import type { StatementRecord } from '../../../src/evidence/chain.ts'
import { type AckMode, type QueueStore, StoredDelivery } from '../../../src/pipeline/delivery.ts'

const statement: StatementRecord = { key: Uint8Array.of(1), value: Uint8Array.of(2) }
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
    append: () => ({ durable: Promise.resolve(7) }),
    exported: () => Promise.resolve(),
    ...overrides,
  }
}

function delivery(
  over: QueueStore,
  ack: AckMode = 'durable',
  failed: StatementRecord[] = [],
  lost: unknown[] = [],
): StoredDelivery {
  return new StoredDelivery({
    store: over,
    ack,
    clock: systemClock,
    retryAfterMs: () => 1234,
    onFailed: (statements) => void failed.push(...statements),
    onLost: (entry) => void lost.push(entry),
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

  const broken = () => ({ durable: Promise.reject(new Error('EIO')) })

  test('a failed commit is STORE_FAILED, and its statements go back to evidence', async () => {
    const failed: StatementRecord[] = []
    const refused = delivery(store({ append: broken }), 'durable', failed).deliver(entry, [statement])
    await expect(refused).rejects.toMatchObject({ code: 'STORE_FAILED', isRetryable: true })
    expect(failed).toEqual([statement])
  })

  test('with ack enqueue OK does not wait for the disk, and what the disk then refuses is counted as lost', async () => {
    const failed: StatementRecord[] = []
    const lost: unknown[] = []
    await delivery(store({ append: broken }), 'enqueue', failed, lost).deliver(entry, [statement])
    await new Promise(setImmediate)
    expect(failed).toEqual([statement])
    expect(lost).toEqual([entry])
  })

  test('a store that refuses at once is passed on as it is', async () => {
    const append = (): never => {
      throw new SidecarError('QUEUE_FULL', 'queue is full')
    }
    const failed: StatementRecord[] = []
    await expect(
      delivery(store({ append }), 'durable', failed).deliver(entry, [statement]),
    ).rejects.toMatchObject({ code: 'QUEUE_FULL' })
    expect(failed).toHaveLength(1)
  })

  test('with ack exported the entry is durable first, and the next hop is waited for apart', async () => {
    const exported = vi.fn(() => Promise.reject(new SidecarError('DOWNSTREAM_REFUSED', 'refused')))
    const failed: StatementRecord[] = []
    const confirmation = await delivery(store({ exported }), 'exported', failed).deliver(entry, [statement])
    expect(exported).not.toHaveBeenCalled()
    await expect(confirmation!()).rejects.toMatchObject({ code: 'DOWNSTREAM_REFUSED' })
    expect(exported).toHaveBeenCalledWith(7)
    expect(failed).toEqual([])
  })
})
