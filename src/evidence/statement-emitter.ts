// Statements that no request brings along: the tombstone of what was given up, heartbeats, the last word at shutdown.
// Each reaches the store before anybody acts on it.
import { forEachAtOnce } from '../base/at-once.ts'
import type { Clock } from '../base/clock.ts'
import { loggable } from '../base/errors.ts'
import { TENANT_IDLE_MS } from '../base/limits.ts'
import type { Logger } from '../base/telemetry.ts'
import type { Emitted, Evidence, GiveUpReason, SigningKey, StatementRecord } from './evidence.ts'
import { decodeRefs } from './refs.ts'

interface SigningKeys {
  signingKey(tenant: string): SigningKey | undefined
  loadSigningKey(tenant: string, abort: AbortSignal): Promise<SigningKey>
}

export interface StatementEmitterSettings {
  readonly evidence: Evidence
  readonly keys: SigningKeys
  /** Resolves when the statements are durable. */
  readonly append: (statements: readonly StatementRecord[]) => Promise<unknown>
  readonly clock: Clock
  readonly log: Logger
}

const KEY_LOAD_MS_MAX = 5_000
const KEY_LOADS_AT_ONCE_MAX = 16
const FLUSH_INTERVAL_MS = 1_000
/** How often idle streams are looked for, and how many of them end at a time. */
const IDLE_INTERVAL_MS = 30_000
const IDLE_COUNT_MAX = 1_024

export class StatementEmitter {
  readonly #parts: StatementEmitterSettings
  readonly #flushTimer: NodeJS.Timeout
  readonly #idleTimer: NodeJS.Timeout
  #heartbeatTimer: NodeJS.Timeout | undefined
  #isFlushing = false
  #isEndingIdle = false
  #isWaiting = false

  constructor(parts: StatementEmitterSettings) {
    this.#parts = parts
    this.#flushTimer = setInterval(() => void this.#flush(), FLUSH_INTERVAL_MS).unref()
    this.#idleTimer = setInterval(() => void this.endIdle(), IDLE_INTERVAL_MS).unref()
  }

  startHeartbeats(intervalMs: number): void {
    if (intervalMs === 0) return
    const beat = async (): Promise<void> => {
      const { evidence, clock, log } = this.#parts
      try {
        const keys = await this.#keysOf(evidence.tenants)
        await this.#commit(() => evidence.heartbeat(keys, clock.nowNs()))
      } catch (thrown) {
        log.warn(loggable(thrown), 'heartbeat was not recorded')
      }
    }
    this.#heartbeatTimer = setInterval(() => void beat(), intervalMs).unref()
  }

  /** Rejects when the tombstone is not durable; then the entry must stay where it is. */
  async writeTombstone(refs: Uint8Array, reason: GiveUpReason): Promise<void> {
    const { evidence, clock } = this.#parts
    const batches = decodeRefs(refs)
    if (batches.length === 0) return
    const tenants = [...new Set(batches.map(({ tenant }) => tenant))]
    const keys = await this.#keysOf(tenants)
    await this.#commit(() => {
      const emitted = evidence.tombstone(batches, reason, keys, clock.nowNs())
      if (emitted.missing.length > 0) throw new Error('no signing key for a tombstone')
      return emitted
    })
  }

  /** The last statement of every stream. What cannot be signed in time is left out: a boot without a shutdown says so. */
  async shutdown(): Promise<void> {
    clearInterval(this.#heartbeatTimer)
    clearInterval(this.#flushTimer)
    clearInterval(this.#idleTimer)
    const { evidence, clock, log } = this.#parts
    try {
      const keys = await this.#keysOf(evidence.tenants)
      await this.#commit(() => evidence.shutdown(keys, clock.nowNs()))
    } catch (thrown) {
      log.warn(loggable(thrown), 'shutdown statement was not recorded')
    }
  }

  /** Ends the streams of tenants that have had nothing to sign for long, and forgets those whose end is durable. */
  async endIdle(): Promise<void> {
    if (this.#isEndingIdle) return
    const { evidence, clock, log } = this.#parts
    const sinceNs = clock.nowNs() - BigInt(TENANT_IDLE_MS) * 1_000_000n
    const idle = evidence.idleTenants(sinceNs, IDLE_COUNT_MAX)
    if (idle.length === 0) return
    this.#isEndingIdle = true
    try {
      const keys = await this.#keysOf(idle)
      await this.#commit(() => evidence.end(idle, keys, clock.nowNs()))
      evidence.forget(idle)
    } catch (thrown) {
      log.warn(loggable(thrown), 'the end of idle streams was not recorded')
    } finally {
      this.#isEndingIdle = false
    }
  }

  /** Statements of failed commits must reach the store also when no request comes to take them along. */
  async #flush(): Promise<void> {
    const { evidence, clock, log } = this.#parts
    if (evidence.pendingCount === 0 || this.#isFlushing) return
    this.#isFlushing = true
    try {
      const keys = await this.#keysOf(evidence.tenants)
      await this.#commit(() => evidence.flush(keys, clock.nowNs()))
      if (this.#isWaiting) log.info('statements reach the store again')
      this.#isWaiting = false
    } catch (thrown) {
      // Tried every second; a full disk for a night must not fill the log as well.
      if (!this.#isWaiting) log.warn(loggable(thrown), 'statements still wait for the store')
      this.#isWaiting = true
    } finally {
      this.#isFlushing = false
    }
  }

  async #keysOf(tenants: readonly string[]): Promise<Map<string, SigningKey>> {
    const { keys, log } = this.#parts
    const abort = AbortSignal.timeout(KEY_LOAD_MS_MAX)
    const found = new Map<string, SigningKey>()
    await forEachAtOnce(tenants, KEY_LOADS_AT_ONCE_MAX, async (tenant) => {
      try {
        found.set(tenant, keys.signingKey(tenant) ?? (await keys.loadSigningKey(tenant, abort)))
      } catch (thrown) {
        log.warn(loggable(thrown), 'no signing key for a statement')
      }
    })
    return found
  }

  /** What `emit` signs goes to the store before anybody else signs. */
  async #commit(emit: () => Emitted): Promise<void> {
    const { evidence, append } = this.#parts
    while (evidence.order.busy) await evidence.order.busy
    const { statements } = emit()
    if (statements.length === 0) return
    try {
      await append(statements)
    } catch (thrown) {
      evidence.failed(statements)
      throw thrown
    }
  }
}
