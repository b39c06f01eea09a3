// Drains on a real store, with next hops that say what they are told to. Waits are real but of a millisecond.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { Registry, silentTelemetry } from '../../../src/base/telemetry.ts'
import { AttemptRecord } from '../../../src/exporters/attempt-record.ts'
import { DeadLetter, type DrainedEntry } from '../../../src/exporters/dead-letter.ts'
import { DirectExport } from '../../../src/exporters/direct.ts'
import { Drain, type DrainSettings } from '../../../src/exporters/drain.ts'
import { exporterMetrics } from '../../../src/exporters/metrics.ts'
import type { Sender, SendOutcome } from '../../../src/exporters/sender.ts'
import { consumerName } from '../../../src/store/queue.ts'
import { Store } from '../../../src/store/store.ts'
import type { Signal } from '../../../src/wire/otlp.ts'
import { testFolder } from './folder.ts'

const OK: SendOutcome = { kind: 'ok', rejectedItems: 0, message: '' }
const DOWN: SendOutcome = { kind: 'retry', afterMs: undefined, reason: 'unavailable' }
const NO: SendOutcome = { kind: 'refused', reason: 'invalid_argument' }
const FAST = { initialIntervalMs: 1, intervalMsMax: 2, elapsedMsMax: 0 }

type Answer = (body: string, abort: AbortSignal) => SendOutcome | Promise<SendOutcome>

/** A sender that keeps what it was given and answers as told. */
function senderOf(id: string, answer: Answer): Sender & { readonly got: string[]; inFlightMax: number } {
  let inFlight = 0
  const sender = {
    id,
    got: [] as string[],
    inFlightMax: 0,
    start: async () => undefined,
    close: async () => undefined,
    send: async (_signal: Signal, body: Uint8Array, abort: AbortSignal) => {
      sender.inFlightMax = Math.max(sender.inFlightMax, ++inFlight)
      try {
        const text = Buffer.from(body).toString()
        sender.got.push(text)
        return await answer(text, abort)
      } finally {
        inFlight--
      }
    },
  }
  return sender
}

const entryOf = (text: string, signal: Signal = 'traces') => ({
  signal,
  itemCount: 2,
  acceptedAtMs: 1,
  body: Buffer.from(text),
  refs: Buffer.from(`ref ${text}`),
})

async function setUp(
  senders: readonly Sender[],
  parts: Partial<DrainSettings> = {},
  directory = testFolder(),
) {
  const signals: Signal[] = ['traces', 'logs']
  const store = await Store.open(
    { directory },
    senders.flatMap(({ id }) => signals.map((signal) => ({ signal, id }))),
  )
  const registry = new Registry()
  const { log } = silentTelemetry()
  const attempts = new AttemptRecord({ path: join(directory, 'attempts.json'), log, clock: systemClock })
  attempts.start()
  const deadLetter = new DeadLetter({ directory })
  await deadLetter.start()
  const metrics = exporterMetrics(
    registry,
    senders.map(({ id }) => id),
    store,
  )
  const dropped: [DrainedEntry, string][] = []
  const drains = senders.map(
    (sender) =>
      new Drain({
        source: store,
        sender,
        consumers: new Map(signals.map((signal) => [signal, consumerName(signal, sender.id)])),
        deadLetter,
        attempts,
        onDropped: async (entry, reason) => void dropped.push([entry, reason]),
        metrics,
        log,
        clock: systemClock,
        random: () => 0.5,
        retry: FAST,
        ...parts,
      }),
  )
  for (const drain of drains) drain.start()
  let isOpen = true
  const close = async () => {
    if (!isOpen) return
    isOpen = false
    attempts.stop()
    await Promise.all(drains.map((drain) => drain.stop(50)))
    await deadLetter.close()
    await store.close()
  }
  onTestFinished(close)
  const count = async (name: string) =>
    Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)$`, 'm').exec(await registry.metrics())?.[1] ?? 0)
  return { store, drains, dropped, deadLetter, close, count, directory }
}

describe('a drain', () => {
  test('sends everything of both signals, each once, and empties the queue', async () => {
    const sender = senderOf('a', () => OK)
    const { store, count, drains } = await setUp([sender])
    const texts = Array.from({ length: 100 }, (_, i) => `entry ${i}`)
    await Promise.all(
      texts.map((text, i) => store.append(entryOf(text, i % 3 ? 'traces' : 'logs'), []).durable),
    )
    await expect.poll(() => store.queuedItems).toBe(0)
    expect([...sender.got].sort()).toEqual([...texts].sort())
    expect(
      (await count('otelcol_exporter_sent_spans')) + (await count('otelcol_exporter_sent_log_records')),
    ).toBe(200)
    expect(drains[0].health()).toMatchObject({ id: 'a', ok: true, lastError: undefined })
    await expect.poll(() => store.queueBytesUsed).toBe(0)
  })

  test('has so many in flight and no more', async () => {
    const release = Promise.withResolvers<void>()
    const sender = senderOf('a', () => release.promise.then(() => OK))
    const { store } = await setUp([sender], { consumerCount: 3 })
    await Promise.all(Array.from({ length: 20 }, (_, i) => store.append(entryOf(`${i}`), []).durable))
    await expect.poll(() => sender.got.length).toBe(3)
    release.resolve()
    await expect.poll(() => store.queuedItems).toBe(0)
    expect(sender.inFlightMax).toBe(3)
  })

  test('tries again until it works, shows it, and drops nothing', async () => {
    let left = 5
    const sender = senderOf('a', () => (left-- > 0 ? DOWN : OK))
    const { store, drains, dropped, count } = await setUp([sender], { consumerCount: 1 })
    await store.append(entryOf('x'), []).durable
    await expect.poll(() => store.queuedItems).toBe(0)
    expect(sender.got).toHaveLength(6)
    expect(dropped).toEqual([])
    expect(await count('otelcol_exporter_send_failed_spans')).toBe(10)
    expect(drains[0].health()).toMatchObject({
      ok: true,
      failingSinceMs: undefined,
      lastError: 'unavailable',
    })
  })

  test('takes what a sender throws for a failed attempt', async () => {
    let left = 2
    const sender = senderOf('a', () => {
      if (left-- > 0) throw new Error('a mistake of ours')
      return OK
    })
    const { store } = await setUp([sender])
    await store.append(entryOf('x'), []).durable
    await expect.poll(() => store.queuedItems).toBe(0)
    expect(sender.got).toHaveLength(3)
  })

  test('gives up what is refused: dead letter, then tombstone, then acknowledgement; the rest goes on', async () => {
    const sender = senderOf('a', (body) => (body === 'bad' ? NO : OK))
    const seen: string[] = []
    const { store, deadLetter, count } = await setUp([sender], {
      onDropped: async (entry, reason) => {
        seen.push(
          `${reason} ${Buffer.from(entry.refs)} ${readFileSync(deadLetter.path, 'utf8').includes('invalid_argument')} ${store.queuedItems}`,
        )
      },
    })
    const sequence = await store.append(entryOf('bad'), []).durable
    await expect(store.exported(sequence)).rejects.toMatchObject({ code: 'DOWNSTREAM_REFUSED' })
    expect(seen).toEqual(['invalid_argument ref bad true 2'])
    await store.append(entryOf('good'), []).durable
    await expect.poll(() => store.queuedItems).toBe(0)
    const kept = JSON.parse(readFileSync(deadLetter.path, 'utf8'))
    expect(Buffer.from(kept.body, 'base64').toString()).toBe('bad')
    expect(await count('betrace_exporter_dropped_items_total')).toBe(2)
    expect(await count('otelcol_exporter_sent_spans')).toBe(2)
  })

  test('does not acknowledge what it cannot record as given up', async () => {
    let fails = 3
    const sender = senderOf('a', () => NO)
    const { store } = await setUp([sender], {
      onDropped: async () => {
        if (fails-- > 0) throw new Error('the store is full')
        expect(store.queuedItems).toBe(2)
      },
    })
    await store.append(entryOf('x'), []).durable
    await expect.poll(() => store.queuedItems).toBe(0)
    expect([sender.got.length, fails]).toEqual([1, -1])
  })

  test('counts what a partial success left out', async () => {
    const sender = senderOf('a', () => ({ kind: 'ok', rejectedItems: 1, message: 'one too old' }))
    const { store, count } = await setUp([sender])
    await store.append(entryOf('x'), []).durable
    await expect.poll(() => store.queuedItems).toBe(0)
    expect([
      await count('otelcol_exporter_sent_spans'),
      await count('betrace_exporter_dropped_items_total'),
    ]).toEqual([1, 1])
  })

  test('is not held up by another that is down', async () => {
    const good = senderOf('good', () => OK)
    const down = senderOf('down', () => DOWN)
    const { store } = await setUp([good, down])
    for (let i = 0; i < 10; i++) await store.append(entryOf(`${i}`), []).durable
    await expect.poll(() => good.got.length).toBe(10)
    expect(store.queuedItems).toBe(20)
  })

  test('stops in time, and what was not taken is sent after the restart', async () => {
    const directory = testFolder()
    const stuck = senderOf(
      'a',
      (_body, abort) =>
        new Promise((_, reject) => abort.addEventListener('abort', () => reject(abort.reason))),
    )
    const first = await setUp([stuck], { consumerCount: 2 }, directory)
    await Promise.all(['1', '2', '3'].map((text) => first.store.append(entryOf(text), []).durable))
    await expect.poll(() => stuck.got.length).toBe(2)
    const startedMs = performance.now()
    await first.close()
    expect(performance.now() - startedMs).toBeLessThan(2_000)
    const sender = senderOf('a', () => OK)
    const second = await setUp([sender], {}, directory)
    await expect.poll(() => second.store.queuedItems).toBe(0)
    expect([...sender.got].sort()).toEqual(['1', '2', '3'])
  })

  test('that waits to try again stops at once', async () => {
    const sender = senderOf('a', () => ({ kind: 'retry', afterMs: 60_000, reason: 'unavailable' }))
    const { store, drains } = await setUp([sender])
    await store.append(entryOf('x'), []).durable
    await expect.poll(() => sender.got.length).toBe(1)
    const startedMs = performance.now()
    await drains[0].stop(10_000)
    expect(performance.now() - startedMs).toBeLessThan(2_000)
    expect(store.queuedItems).toBe(2)
  })
})

describe('without a store', () => {
  const direct = (...senders: Sender[]) =>
    new DirectExport({
      senders: new Map([['traces', senders]]),
      metrics: exporterMetrics(new Registry(), [], undefined),
      clock: systemClock,
    })
  const send = (made: DirectExport) => made.send('traces', Buffer.from('x'), 1)

  test('a request is OK when every exporter has it', async () => {
    const senders = [senderOf('a', () => OK), senderOf('b', () => OK)]
    await send(direct(...senders))
    expect(senders.map(({ got }) => got.length)).toEqual([1, 1])
  })

  test('it may come again while any exporter may still take it, after the longest wait that was asked for', async () => {
    const made = direct(
      senderOf('a', () => OK),
      senderOf('b', () => NO),
      senderOf('c', () => ({ ...DOWN, afterMs: 7_000 })),
      senderOf('d', () => DOWN),
    )
    await expect(send(made)).rejects.toMatchObject({ code: 'DOWNSTREAM_UNAVAILABLE', retryAfterMs: 7_000 })
    expect(made.health().map(({ id, ok }) => [id, ok])).toEqual([
      ['a', true],
      ['b', false],
      ['c', false],
      ['d', false],
    ])
  })

  test('it is refused for good when no other answer is left', async () => {
    await expect(
      send(
        direct(
          senderOf('a', () => OK),
          senderOf('b', () => NO),
        ),
      ),
    ).rejects.toMatchObject({ code: 'DOWNSTREAM_REFUSED' })
  })

  test('stopping waits for what is under way, breaks off what takes too long, and then takes nothing', async () => {
    const made = direct(
      senderOf(
        'a',
        (_body, abort) =>
          new Promise((_, reject) => abort.addEventListener('abort', () => reject(abort.reason))),
      ),
    )
    const sending = expect(send(made)).rejects.toMatchObject({ code: 'DOWNSTREAM_UNAVAILABLE' })
    await made.stop(30)
    await sending
    await expect(send(made)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
  })
})
