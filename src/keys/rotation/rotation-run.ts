// One pass over tenants whose keys are to be rotated, with its progress.
import type { Clock } from '../../base/clock.ts'
import { asSidecarError, SidecarError } from '../../base/errors.ts'
import type { Logger } from '../../base/telemetry.ts'
import { KmsError } from '../../kms/kms.ts'
import type { Keys } from '../keys.ts'

/** Which tenants a run takes, each scope with those before it: over their age, over it before the next check, all with keys. */
export const ROTATION_SCOPES = ['overdue', 'due', 'all'] as const
export type RotationScope = (typeof ROTATION_SCOPES)[number]

export interface RotationRunOptions {
  readonly reason: 'scheduled' | 'requested'
  readonly scope: RotationScope
  readonly tenantsAtOnceMax: number
}

export interface RotationRunStatus {
  readonly isRunning: boolean
  readonly reason: 'scheduled' | 'requested'
  readonly scope: RotationScope
  readonly total: number
  readonly rotated: number
  readonly failed: number
  readonly remaining: number
  /** Milliseconds since the epoch; `undefined` before a first run. */
  readonly startedMs: number | undefined
  readonly finishedMs: number | undefined
  /** By the pace so far; `undefined` before the first tenant is done, and afterwards. */
  readonly estimatedEndMs: number | undefined
  /** The first twenty. */
  readonly failures: readonly { readonly tenant: string; readonly error: string }[]
}

export interface RotationRunSettings {
  readonly keys: Pick<Keys, 'rotate'>
  readonly clock: Clock
  readonly log: Logger
}

const FAILURES_MAX = 20

export class RotationRun {
  readonly #parts: RotationRunSettings
  readonly #options: RotationRunOptions
  readonly #cancelled = new AbortController()
  readonly #failures: { tenant: string; error: string }[] = []
  #total = 0
  #rotated = 0
  #failed = 0
  #startedMs: number | undefined
  #finishedMs: number | undefined

  constructor(parts: RotationRunSettings, options: RotationRunOptions) {
    this.#parts = parts
    this.#options = options
  }

  /** One tenant's failure is not another's. Resolves when all were tried, or those under way when it was cancelled. */
  async rotate(tenants: readonly string[], staggerMs: number, abort: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts
    const { reason, tenantsAtOnceMax } = this.#options
    this.#startedMs = clock.nowMs()
    this.#total = tenants.length
    const ended = AbortSignal.any([this.#cancelled.signal, abort])
    const waiting = tenants.values()
    let nextStartMs = clock.monotonicMs() // one for all workers, or they would start side by side
    const work = async (): Promise<void> => {
      for (const tenant of waiting) {
        const nowMs = clock.monotonicMs()
        const startMs = Math.max(nowMs, nextStartMs)
        nextStartMs = startMs + staggerMs
        await pause(startMs - nowMs, ended)
        if (ended.aborted) return
        await this.#rotateOne(tenant, abort)
      }
    }
    await Promise.all(Array.from({ length: Math.min(tenantsAtOnceMax, tenants.length) }, work))
    this.#finishedMs = clock.nowMs()
    const { total, rotated, failed, remaining } = this.status()
    const figures = { reason, total, rotated, failed, remaining }
    if (failed > 0) log.error(figures, 'Key rotation ended with failures; they are tried again')
    else if (total > 0)
      log.info(figures, remaining > 0 ? 'Key rotation was stopped' : 'Key rotation complete')
    else log.debug(figures, 'No key needs rotation')
  }

  /** Those under way go on, and nobody else begins. */
  cancel(): void {
    this.#cancelled.abort()
  }

  /** The run could not even find out what to rotate. */
  fail(): void {
    this.#startedMs ??= this.#parts.clock.nowMs()
    this.#finishedMs = this.#parts.clock.nowMs()
    this.#failed = Math.max(this.#failed, 1)
  }

  status(): RotationRunStatus {
    const done = this.#rotated + this.#failed
    const isRunning = this.#startedMs !== undefined && this.#finishedMs === undefined
    return {
      isRunning,
      reason: this.#options.reason,
      scope: this.#options.scope,
      total: this.#total,
      rotated: this.#rotated,
      failed: this.#failed,
      remaining: Math.max(this.#total - done, 0),
      startedMs: this.#startedMs,
      finishedMs: this.#finishedMs,
      estimatedEndMs: isRunning && done > 0 ? this.#estimate(done) : undefined,
      failures: this.#failures,
    }
  }

  async #rotateOne(tenant: string, abort: AbortSignal): Promise<void> {
    try {
      await this.#parts.keys.rotate(tenant, this.#options.reason, abort)
      this.#rotated++
    } catch (thrown) {
      this.#failed++
      if (this.#failures.length < FAILURES_MAX) this.#failures.push({ tenant, error: nameOf(thrown) })
    }
  }

  #estimate(done: number): number {
    const startedMs = this.#startedMs ?? 0
    return Math.round(startedMs + ((this.#parts.clock.nowMs() - startedMs) / done) * this.#total)
  }
}

function nameOf(thrown: unknown): string {
  const error = asSidecarError(thrown)
  const source = error.cause instanceof SidecarError ? error.cause : error
  return source instanceof KmsError ? source.kmsClass : source.code
}

/** Ends early, and quietly, when the signal aborts. */
function pause(ms: number, abort: AbortSignal): Promise<void> {
  if (ms <= 0 || abort.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms)
    abort.addEventListener('abort', done, { once: true })
    function done(): void {
      clearTimeout(timer)
      abort.removeEventListener('abort', done)
      resolve()
    }
  })
}
