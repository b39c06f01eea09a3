// When keys are rotated. Whether one is too old is read from its record, so a sidecar that was off when the hour came
// rotates soon after its start. A check takes the keys that would be too old before the next one. Replicas spread their
// checks by chance; within one, few tenants are rotated at once.
import type { Clock } from '../../base/clock.ts'
import { asSidecarError } from '../../base/errors.ts'
import type { Logger } from '../../base/telemetry.ts'
import type { Keys } from '../keys.ts'
import { type CheckSchedule, parseCheckCron } from './check-schedule.ts'
import { ROTATION_SCOPES, RotationRun, type RotationRunStatus, type RotationScope } from './rotation-run.ts'

export interface RotationOptions {
  /** False: nothing happens by itself; `rotateAll` works. */
  readonly enabled: boolean
  /** When to check, see `parseCheckCron`. */
  readonly checkCron: string
  readonly tenantsAtOnceMax: number
  /** Each check comes up to so much later than its hour, and the first so much after the start. */
  readonly jitterMsMax: number
  /** When some tenant failed, the next check comes after so much, and up to as much again. */
  readonly retryMs: number
}

export const ROTATION_DEFAULTS: RotationOptions = {
  enabled: true,
  checkCron: '0 0 2 * * ?',
  tenantsAtOnceMax: 4,
  jitterMsMax: 60_000,
  retryMs: 15 * 60_000,
}

export interface RotationSettings {
  readonly keys: Pick<Keys, 'rotate' | 'rotatableTenants' | 'tenantsNeedingRotation'>
  readonly clock: Clock
  readonly log: Logger
  /** In [0, 1); `Math.random` when absent. */
  readonly random?: () => number
}

export interface RotateAllOptions {
  /** Every tenant with keys, not only those whose signing key is too old. */
  readonly force?: boolean
  /** Between the starts of two tenants, at least. */
  readonly staggerMs?: number
}

interface RunRequest {
  readonly reason: 'scheduled' | 'requested'
  readonly scope: RotationScope
  readonly staggerMs: number
}

/** Of the run that somebody asked for last, or else of the last check. */
export interface RotationState extends RotationRunStatus {
  readonly isEnabled: boolean
  /** The checks come by themselves, and leave what a request did where whoever made it looks. */
  readonly lastCheck: RotationRunStatus | undefined
  /** What the run that follows this one takes; `undefined`: none follows. */
  readonly queued: RotationScope | undefined
  /** Milliseconds since the epoch; `undefined` when nothing is planned. */
  readonly nextCheckMs: number | undefined
}

/** The longest wait in one piece, so that a clock that was set, or a machine that slept, is noticed. */
const WAIT_MS_MAX = 10 * 60_000
const STOP_GRACE_MS = 5_000
/** What a run over very many tenants may take. */
const RUN_MS = 15 * 60_000

const CHECK: RunRequest = { reason: 'scheduled', scope: 'due', staggerMs: 0 }

export class Rotation {
  readonly #parts: RotationSettings
  readonly #options: RotationOptions
  readonly #schedule: CheckSchedule
  readonly #random: () => number
  readonly #stopping = new AbortController()
  #run: RotationRun
  #lastRequested: RotationRun | undefined
  #lastCheck: RotationRun | undefined
  #next: RunRequest | undefined
  #running: Promise<void> | undefined
  #isStopping = false
  #timer: NodeJS.Timeout | undefined
  #nextCheckMs: number | undefined

  /** Throws CONFIG for a line that is no schedule. */
  constructor(parts: RotationSettings, options: RotationOptions) {
    this.#parts = parts
    this.#options = options
    this.#random = parts.random ?? Math.random
    this.#schedule = parseCheckCron(options.checkCron)
    this.#run = this.#newRun(CHECK)
  }

  /** The first check comes soon, whatever the hour. Once. Switched off, it only looks, so that the metrics tell of old keys. */
  start(): void {
    const { keys, clock } = this.#parts
    if (this.#options.enabled) this.#plan(clock.nowMs() + this.#jitterMs())
    else void keys.tenantsNeedingRotation().catch((thrown: unknown) => this.#noteUnreadable(thrown))
  }

  /** Takes up no further tenant, and waits a few seconds for those under way; what is cut off is whole all the same. */
  async stop(graceMs = STOP_GRACE_MS): Promise<void> {
    clearTimeout(this.#timer)
    this.#nextCheckMs = undefined
    this.#isStopping = true
    this.#next = undefined
    this.#run.cancel()
    const timer = setTimeout(() => this.#stopping.abort(), graceMs)
    await this.#running
    this.#stopping.abort()
    clearTimeout(timer)
  }

  /**
   * Rotates what is too old, or will be before the next check. Resolves when done; never rejects, since failures are in
   * the state, metrics and log.
   */
  async check(): Promise<RotationState> {
    await this.#begin(CHECK)
    return this.#stateOf(this.#run)
  }

  /**
   * Begins to rotate and answers the state at once; `settled` waits. A run under way that takes these tenants too serves
   * for this request; one that does not is followed by a run that does.
   */
  rotateAll({ force = false, staggerMs = 0 }: RotateAllOptions = {}): RotationState {
    void this.#begin({ reason: 'requested', scope: force ? 'all' : 'overdue', staggerMs })
    return this.state()
  }

  /** Resolves when no run is under way and none follows. */
  async settled(): Promise<void> {
    await this.#running
  }

  state(): RotationState {
    // While a request waits for a check to end, the check is what its maker waits for.
    const isWaitedFor = this.#next?.reason === 'requested'
    return this.#stateOf(isWaitedFor ? this.#run : (this.#lastRequested ?? this.#run))
  }

  #stateOf(run: RotationRun): RotationState {
    // A run that has begun has not counted its tenants yet.
    const statusOf = (each: RotationRun): RotationRunStatus => ({
      ...each.status(),
      isRunning: this.#running !== undefined && each === this.#run,
    })
    return {
      ...statusOf(run),
      lastCheck: this.#lastCheck && statusOf(this.#lastCheck),
      isEnabled: this.#options.enabled,
      queued: this.#next?.scope,
      nextCheckMs: this.#nextCheckMs,
    }
  }

  #begin(request: RunRequest): Promise<void> {
    if (this.#isStopping) return Promise.resolve()
    if (this.#running === undefined) {
      this.#running = this.#performAll(request).finally(() => {
        this.#running = undefined
      })
    } else if (!takesIn(this.#run.status().scope, request) && !takesIn(this.#next?.scope, request)) {
      this.#next = request
    }
    return this.#running
  }

  async #performAll(first: RunRequest): Promise<void> {
    for (let request: RunRequest | undefined = first; request !== undefined; request = this.#next) {
      this.#next = undefined
      this.#run = this.#newRun(request)
      if (request.reason === 'requested') this.#lastRequested = this.#run
      else this.#lastCheck = this.#run
      await this.#perform(request)
    }
  }

  async #perform({ scope, staggerMs }: RunRequest): Promise<void> {
    const { keys } = this.#parts
    try {
      const due = await keys.tenantsNeedingRotation(scope === 'due' ? this.#untilNextCheckMs() : 0)
      const tenants = scope === 'all' ? await keys.rotatableTenants() : due.map(({ tenant }) => tenant)
      await this.#run.rotate(tenants, staggerMs, this.#stopping.signal)
      if (due.length > 0) await keys.tenantsNeedingRotation() // the gauge of those overdue, as it is now
    } catch (thrown) {
      this.#run.fail()
      this.#noteUnreadable(thrown)
    }
  }

  #newRun({ reason, scope }: RunRequest): RotationRun {
    const { tenantsAtOnceMax } = this.#options
    return new RotationRun(this.#parts, { reason, scope, tenantsAtOnceMax })
  }

  /** With time for a retry, should the next check fail. */
  #untilNextCheckMs(): number {
    const { jitterMsMax, retryMs } = this.#options
    const nowMs = this.#parts.clock.nowMs()
    const nextMs = this.#schedule.nextMs(nowMs)
    return nextMs === undefined ? 0 : nextMs - nowMs + jitterMsMax + 2 * retryMs + RUN_MS
  }

  #noteUnreadable(thrown: unknown): void {
    const { code } = asSidecarError(thrown)
    this.#parts.log.error({ code }, 'Keys could not be checked for rotation')
  }

  #plan(dueMs: number): void {
    this.#nextCheckMs = dueMs
    const waitMs = Math.min(Math.max(dueMs - this.#parts.clock.nowMs(), 0), WAIT_MS_MAX)
    this.#timer = setTimeout(() => void this.#wake(dueMs), waitMs).unref()
  }

  async #wake(dueMs: number): Promise<void> {
    if (this.#parts.clock.nowMs() < dueMs) return this.#plan(dueMs)
    const { failed } = await this.check()
    if (this.#stopping.signal.aborted || this.#nextCheckMs === undefined) return
    const nowMs = this.#parts.clock.nowMs()
    const regularMs = (this.#schedule.nextMs(nowMs) ?? Number.POSITIVE_INFINITY) + this.#jitterMs()
    const retryMs = nowMs + this.#options.retryMs * (1 + this.#random())
    const nextMs = failed > 0 ? Math.min(regularMs, retryMs) : regularMs
    if (Number.isFinite(nextMs)) this.#plan(nextMs)
    else this.#nextCheckMs = undefined
  }

  #jitterMs(): number {
    return this.#options.jitterMsMax * this.#random()
  }
}

function takesIn(scope: RotationScope | undefined, request: RunRequest): boolean {
  return scope !== undefined && ROTATION_SCOPES.indexOf(scope) >= ROTATION_SCOPES.indexOf(request.scope)
}
