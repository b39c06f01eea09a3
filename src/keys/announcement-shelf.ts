// Keeps the key store's announcements bounded: the newest stay, up to a number. An older one still opens its values, by
// the copy that travels with them; what goes with the record is that `keys rewrap` finds it.
import { Counter, Gauge, type Logger, type Registry } from '../telemetry.ts'
import type { KeyStore, StoredKeyRecord } from './keystore.ts'

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
    await this.#walk(() => {
      this.#count++
    })
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
    await this.#walk(({ record }) => {
      created.push(createdMs(record))
    })
    return Float64Array.from(created).sort()[Math.min(count, created.length) - 1] ?? 0
  }

  async #removeUntil(lastMs: number): Promise<number> {
    const { store } = this.#parts
    let removed = 0
    let batch: Promise<void>[] = []
    await this.#walk(
      ({ tenant, id, record }) => {
        if (createdMs(record) > lastMs) return
        batch.push(store.remove('announcement', tenant, id))
        removed++
      },
      async () => {
        const removals = batch
        batch = []
        await Promise.all(removals)
      },
    )
    // What was counted twice, because it came during a count, is put right here.
    this.#count = removed === 0 ? 0 : this.#count - removed
    this.#removed.inc(removed)
    return removed
  }

  /** Every announcement, until the store is about to close. `between` is called after each slice of them, and at the end. */
  async #walk(visit: (stored: StoredKeyRecord) => void, between?: () => Promise<void>): Promise<void> {
    const { store, closing } = this.#parts
    let count = 0
    for (const stored of store.list('announcement')) {
      visit(stored)
      if (++count % SLICE_COUNT !== 0) continue
      await between?.()
      await new Promise<void>((resolve) => setImmediate(resolve))
      // The next one would be read from a store that is closed.
      if (closing.aborted) return
    }
    await between?.()
  }
}

/** Of the one canonical form; a damaged record opens nothing, so it is the first to go. Milliseconds since the epoch. */
function createdMs(record: Uint8Array): number {
  const [, created = ''] = /"created":"([^"]*)"/.exec(Buffer.from(record).toString('latin1')) ?? []
  return Date.parse(created) || 0
}
