// Keeps the key store's announcements bounded: the newest stay, up to a number. An older one still opens its values, by
// the copy that travels with them; what goes with the record is that `keys rewrap` finds it.
import { Counter, Gauge, type Logger, type Registry } from '../../base/telemetry.ts'
import type { KeyStore } from './keystore.ts'

export interface AnnouncementRetentionSettings {
  readonly store: KeyStore
  readonly log: Logger
  readonly registry: Registry
  readonly countMax: number
  /** Aborts when the store is about to close. */
  readonly closing: AbortSignal
}

interface Name {
  readonly tenant: string
  readonly id: string
}

/** Records looked at, or removed in one commit, between two turns of the event loop. */
const SLICE_COUNT = 200
/** Once full, so much room is made at once: each time costs a walk over all of them. */
const KEPT_SHARE = 0.9

export class AnnouncementRetention {
  readonly #parts: AnnouncementRetentionSettings
  readonly #removed: Counter
  #count = 0
  /** Came during a walk, and not seen by it. */
  readonly #arrived = new Set<string>()
  #isBusy = false

  constructor(parts: AnnouncementRetentionSettings) {
    this.#parts = parts
    const registers = [parts.registry]
    const count = (): number => this.#count
    new Gauge({
      name: 'betrace_key_announcements',
      help: 'Announced data keys in the key store, known from soon after the start on',
      registers,
      collect() {
        this.set(count())
      },
    })
    this.#removed = new Counter({
      name: 'betrace_key_announcements_removed_total',
      help: 'The oldest announced data keys that made room; their values open by the announcement that travels with them',
      registers,
    })
  }

  /** Counts what a former process left, and makes room. Rejects with what the store says. */
  open(): Promise<void> {
    return this.#alone(async () => {
      await this.#survey()
      await this.#thin()
    })
  }

  /** One more is durable in the store. */
  added(id: string): void {
    this.#count++
    this.#arrived.add(id)
    // What fails is tried again with the next key.
    void this.#alone(() => this.#thin()).catch((thrown: unknown) =>
      this.#parts.log.error({ err: thrown }, 'Old key announcements could not be removed'),
    )
  }

  /** One walk at a time; who is at it looks again before it ends. */
  async #alone(work: () => Promise<void>): Promise<void> {
    if (this.#isBusy) return
    this.#isBusy = true
    try {
      await work()
    } finally {
      this.#isBusy = false
      this.#arrived.clear()
    }
  }

  /** More may come while some go. */
  async #thin(): Promise<void> {
    const { countMax, closing } = this.#parts
    while (this.#count > countMax && !closing.aborted) await this.#makeRoom()
  }

  async #makeRoom(): Promise<void> {
    const { countMax, closing, log } = this.#parts
    const createdMs = await this.#survey()
    if (closing.aborted || this.#count <= countMax) return
    const toGo = Math.min(this.#count - Math.floor(countMax * KEPT_SHARE), createdMs.length)
    const lastMs = createdMs[toGo - 1] ?? 0
    const count = await this.#removeUntil(lastMs)
    if (count === 0) return
    log.warn(
      { count, until: new Date(lastMs).toISOString(), setting: 'storage.announcements_max' },
      'Oldest key announcements removed: their values still open by the copy that travels with them, keys rewrap no longer finds them',
    )
  }

  /** Counts them. When each was made, in milliseconds, the oldest first. */
  async #survey(): Promise<Float64Array> {
    const createdMs: number[] = []
    this.#arrived.clear()
    for await (const each of this.#walk()) {
      createdMs.push(each.createdMs)
      this.#arrived.delete(each.id)
    }
    this.#count = createdMs.length + this.#arrived.size
    return Float64Array.from(createdMs).sort()
  }

  async #removeUntil(lastMs: number): Promise<number> {
    let count = 0
    let batch: Name[] = []
    for await (const { tenant, id, createdMs } of this.#walk()) {
      if (createdMs > lastMs) continue
      batch.push({ tenant, id })
      if (batch.length < SLICE_COUNT) continue
      count += await this.#remove(batch)
      batch = []
    }
    return this.#parts.closing.aborted ? count : count + (await this.#remove(batch))
  }

  async #remove(batch: readonly Name[]): Promise<number> {
    const { store } = this.#parts
    // At once, and awaited at once: a promise that waited for the others to be made could be rejected unheard.
    await Promise.all(batch.map(({ tenant, id }) => store.remove('announcement', tenant, id)))
    this.#count -= batch.length
    this.#removed.inc(batch.length)
    return batch.length
  }

  async *#walk(): AsyncGenerator<Name & { readonly createdMs: number }> {
    const { store, closing } = this.#parts
    if (closing.aborted) return
    let count = 0
    for (const { tenant, id, record } of store.list('announcement')) {
      if (++count % SLICE_COUNT === 0) await new Promise<void>((resolve) => setImmediate(resolve))
      if (closing.aborted) return
      yield { tenant, id, createdMs: createdMs(record) }
      // Whoever walks may have waited, and a store that is closed must not be read.
      if (closing.aborted) return
    }
  }
}

/** Of the one canonical form; a damaged record opens nothing, so it is the first to go. Milliseconds since the epoch. */
function createdMs(record: Uint8Array): number {
  const [, created = ''] = /"created":"([^"]*)"/.exec(Buffer.from(record).toString('latin1')) ?? []
  return Date.parse(created) || 0
}
