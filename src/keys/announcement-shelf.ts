// Keeps the key store's announcements bounded: the newest stay, up to a number. An older one still opens its values, by
// the copy that travels with them; what goes with the record is that `keys rewrap` finds it.
import { Counter, Gauge, type Logger, type Registry } from '../telemetry.ts'
import { parseAnnouncement } from './announcement.ts'
import type { KeyStore } from './keystore.ts'

export interface AnnouncementShelfParts {
  readonly store: KeyStore
  readonly log: Logger
  readonly registry: Registry
  readonly countMax: number
  /** Aborts when the store is about to close. */
  readonly closing: AbortSignal
}

/** Records looked at, or removed in one commit, between two turns of the event loop. */
const SLICE_COUNT = 200
/** Once full, so much room is made at once: each time costs a walk over all of them. */
const KEPT_SHARE = 0.9

export class AnnouncementShelf {
  readonly #parts: AnnouncementShelfParts
  readonly #removed: Counter
  #count = 0
  #isThinning = false

  constructor(parts: AnnouncementShelfParts) {
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
  async open(): Promise<void> {
    for await (const _ of this.#walk()) this.#count++
    await this.#thin()
  }

  /** One more is durable in the store. */
  added(): void {
    this.#count++
    // What fails is tried again with the next key.
    void this.#thin().catch((thrown: unknown) =>
      this.#parts.log.error({ err: thrown }, 'Old key announcements could not be removed'),
    )
  }

  async #thin(): Promise<void> {
    const { countMax, closing } = this.#parts
    if (this.#isThinning) return
    this.#isThinning = true
    try {
      // More may come while some go.
      while (this.#count > countMax && !closing.aborted) await this.#makeRoom()
    } finally {
      this.#isThinning = false
    }
  }

  async #makeRoom(): Promise<void> {
    const { countMax, log } = this.#parts
    const lastMs = await this.#lastToGo(this.#count - Math.floor(countMax * KEPT_SHARE))
    const count = await this.#removeUntil(lastMs)
    log.warn(
      { count, until: new Date(lastMs).toISOString(), setting: 'storage.announcements_max' },
      'Oldest key announcements removed: their values still open by the copy that travels with them, keys rewrap no longer finds them',
    )
  }

  /** When the newest of the `count` oldest was made. Milliseconds. */
  async #lastToGo(count: number): Promise<number> {
    const created: number[] = []
    for await (const { createdMs } of this.#walk()) created.push(createdMs)
    return Float64Array.from(created).sort()[Math.min(count, created.length) - 1] ?? 0
  }

  async #removeUntil(lastMs: number): Promise<number> {
    const { store } = this.#parts
    let removed = 0
    let batch: Promise<void>[] = []
    for await (const { tenant, id, createdMs } of this.#walk()) {
      if (createdMs > lastMs) continue
      batch.push(store.remove('announcement', tenant, id))
      removed++
      if (batch.length < SLICE_COUNT) continue
      await Promise.all(batch)
      batch = []
    }
    await Promise.all(batch)
    // What was counted twice, because it came during a count, is put right here.
    this.#count = removed === 0 ? 0 : this.#count - removed
    this.#removed.inc(removed)
    return removed
  }

  async *#walk(): AsyncGenerator<{
    readonly tenant: string
    readonly id: string
    readonly createdMs: number
  }> {
    let count = 0
    for (const { tenant, id, record } of this.#parts.store.list('announcement')) {
      if (++count % SLICE_COUNT === 0) await new Promise<void>((resolve) => setImmediate(resolve))
      if (this.#parts.closing.aborted) return
      // A damaged one opens nothing, so it is the first to go.
      const createdMs = parseAnnouncement(Buffer.from(record).toString('utf8'))?.createdMs ?? 0
      yield { tenant, id, createdMs }
    }
  }
}
