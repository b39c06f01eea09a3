// A key service behind circuit breakers, one for each use and master key: a tenant's dead master key opens nobody else's.
// The caches stand before this, so a key that is at hand never meets a breaker.
import { EventEmitter } from 'node:events'
import type { Clock } from '../base/clock.ts'
import { Counter, Gauge, type Logger, type Registry } from '../base/telemetry.ts'
import type { KeyPurpose, KmsContext } from '../formats/key-context.ts'
import { boundedCall } from './bounded-call.ts'
import { BreakerOpenError, type BreakerState } from './breaker.ts'
import type { BreakerOptions } from './breaker-options.ts'
import type { GeneratedDataKey, Kms, KmsClass, KmsDescription, KmsError, WrappedKey } from './kms.ts'
import { MasterKeyBreaker } from './master-key-breaker.ts'

export type BreakerName = 'kms-signing-key' | 'kms-public-key' | 'kms-encryption-key'

export const BREAKER_NAMES: readonly BreakerName[] = [
  'kms-signing-key',
  'kms-public-key',
  'kms-encryption-key',
]

export interface BreakerKmsSettings {
  readonly kms: Kms
  readonly options: BreakerOptions
  /** A call that has not settled by then has failed, whatever the provider does. */
  readonly requestMsMax: number
  /** A service that has not answered for so long counts as failed, also where the caller gave up then; as above if absent. */
  readonly answerMsMax?: number
  readonly clock: Clock
  readonly log: Logger
  readonly registry: Registry
}

/** What a call is for. */
interface Use {
  readonly name: BreakerName
  readonly masterKeyId: string
  readonly tenant?: string
}

/** One breaker that is not closed. */
export interface TrippedBreaker {
  readonly name: BreakerName
  readonly masterKeyId: string
  readonly state: BreakerState
  readonly error: KmsClass | undefined
}

interface NamedBreaker {
  readonly name: BreakerName
  readonly masterKeyId: string
  readonly breaker: MasterKeyBreaker
}

/** Master keys come from configuration and records. Above this the least used that is closed is forgotten: nothing is lost. */
const BREAKERS_MAX = 1_000
const ROTATE_MS = 1_000
const RUNBOOK = 'docs/runbooks/circuit-breaker-open.md'
/** What an operator should hear of first. */
const BADNESS: Readonly<Record<BreakerState, number>> = { closed: 0, 'half-open': 1, open: 2 }
const GAUGE: Readonly<Record<BreakerState, number>> = { closed: 0, open: 1, 'half-open': 2 }

/** A probe asks the service itself: it neither trips a breaker nor is turned away by one. */
const NAME_OF_PURPOSE: Readonly<Record<KeyPurpose, BreakerName | undefined>> = {
  pii: 'kms-encryption-key',
  signing: 'kms-signing-key',
  pseudonym: 'kms-signing-key',
  secret: 'kms-signing-key',
  probe: undefined,
}

export class BreakerKms implements Kms {
  readonly #parts: BreakerKmsSettings
  /** The least recently used first. */
  readonly #breakers = new Map<string, NamedBreaker>()
  readonly #rotation = new EventEmitter().setMaxListeners(0)
  readonly #rotationTimer: NodeJS.Timeout
  readonly #rejections: Counter<'name'>
  readonly sign?: NonNullable<Kms['sign']>
  readonly publicKey?: NonNullable<Kms['publicKey']>

  constructor(parts: BreakerKmsSettings) {
    this.#parts = parts
    this.#rotationTimer = setInterval(() => this.#rotation.emit('rotate'), ROTATE_MS).unref()
    this.#rejections = this.#registerMetrics()
    const { kms } = parts
    if (kms.sign) {
      const sign = kms.sign.bind(kms)
      this.sign = (message, keyId, abort) =>
        this.#guard({ name: 'kms-signing-key', masterKeyId: keyId }, 'sign', abort, (abort) =>
          sign(message, keyId, abort),
        )
    }
    if (kms.publicKey) {
      const publicKey = kms.publicKey.bind(kms)
      this.publicKey = (keyId, abort) =>
        this.#guard({ name: 'kms-public-key', masterKeyId: keyId }, 'get_public_key', abort, (abort) =>
          publicKey(keyId, abort),
        )
    }
  }

  get provider(): string {
    return this.#parts.kms.provider
  }

  get masterKeyId(): string {
    return this.#parts.kms.masterKeyId
  }

  masterKeyOf(tenantId: string): string {
    const { kms } = this.#parts
    return kms.masterKeyOf?.(tenantId) ?? kms.masterKeyId
  }

  canonicalKeyId(masterKeyId: string): string {
    return this.#parts.kms.canonicalKeyId?.(masterKeyId) ?? masterKeyId
  }

  generateDataKey(context: KmsContext, abort: AbortSignal): Promise<GeneratedDataKey> {
    const { kms } = this.#parts
    return this.#forContext(
      context,
      this.masterKeyOf(context.tenantId),
      'generate_data_key',
      abort,
      (abort) => kms.generateDataKey(context, abort),
    )
  }

  wrap(plaintext: Uint8Array, context: KmsContext, abort: AbortSignal): Promise<WrappedKey> {
    const { kms } = this.#parts
    return this.#forContext(context, this.masterKeyOf(context.tenantId), 'encrypt', abort, (abort) =>
      kms.wrap(plaintext, context, abort),
    )
  }

  unwrap(
    wrapped: Uint8Array,
    masterKeyId: string,
    context: KmsContext,
    abort: AbortSignal,
  ): Promise<Uint8Array> {
    const { kms } = this.#parts
    return this.#forContext(context, masterKeyId, 'decrypt', abort, (abort) =>
      kms.unwrap(wrapped, masterKeyId, context, abort),
    )
  }

  describe(abort: AbortSignal): Promise<KmsDescription> {
    const { kms } = this.#parts
    const use = { name: 'kms-public-key', masterKeyId: kms.masterKeyId } as const
    return this.#guard(use, 'describe_key', abort, (abort) => kms.describe(abort))
  }

  /** Name → the worst state over its master keys. */
  states(): ReadonlyMap<BreakerName, BreakerState> {
    const worst = new Map<BreakerName, BreakerState>(BREAKER_NAMES.map((name) => [name, 'closed']))
    for (const { name, breaker } of this.#breakers.values()) {
      if (BADNESS[breaker.worst] > BADNESS[worst.get(name)!]) worst.set(name, breaker.worst)
    }
    return worst
  }

  /** Which master keys they are about, the last used first. */
  tripped(): readonly TrippedBreaker[] {
    return [...this.#breakers.values()].reverse().flatMap(({ name, masterKeyId, breaker }) =>
      breaker.tripped.map(({ state, lastError }) => ({
        name,
        masterKeyId,
        state,
        error: lastError?.kmsClass,
      })),
    )
  }

  /** Closes every breaker of a name. How many were not closed; `undefined` when there is no such name. */
  reset(name: string): number | undefined {
    if (!BREAKER_NAMES.some((known) => known === name)) return undefined
    const ofName = [...this.#breakers.values()].filter((each) => each.name === name)
    const trippedCount = ofName.flatMap(({ breaker }) => breaker.tripped).length
    for (const { breaker } of ofName) breaker.reset()
    return trippedCount
  }

  async close(): Promise<void> {
    clearInterval(this.#rotationTimer)
    for (const { breaker } of this.#breakers.values()) breaker.close()
    this.#breakers.clear()
    await this.#parts.kms.close()
  }

  #forContext<T>(
    { purpose, tenantId: tenant }: KmsContext,
    masterKeyId: string,
    operation: string,
    abort: AbortSignal,
    call: (abort: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const name = NAME_OF_PURPOSE[purpose]
    if (name === undefined) return boundedCall(operation, this.#parts.requestMsMax, abort, call)
    return this.#guard({ name, masterKeyId, tenant }, operation, abort, call)
  }

  async #guard<T>(
    { name, masterKeyId, tenant }: Use,
    operation: string,
    abort: AbortSignal,
    call: (abort: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { requestMsMax } = this.#parts
    const breaker = this.#breakerOf(name, this.canonicalKeyId(masterKeyId))
    const run = (): Promise<T> => boundedCall(operation, requestMsMax, abort, call)
    if (breaker === undefined) return run()
    try {
      return await breaker.call(tenant, operation, abort, run)
    } catch (thrown) {
      if (thrown instanceof BreakerOpenError) this.#rejections.inc({ name })
      throw thrown
    }
  }

  /** `undefined` where there is no room: a call that nobody watches is better than an open breaker that is forgotten. */
  #breakerOf(name: BreakerName, masterKeyId: string): MasterKeyBreaker | undefined {
    const id = JSON.stringify([name, masterKeyId])
    const known = this.#breakers.get(id)
    if (known === undefined && !this.#hasRoom()) return undefined
    const named = known ?? { name, masterKeyId, breaker: this.#newBreaker(name, masterKeyId) }
    this.#breakers.delete(id)
    this.#breakers.set(id, named)
    return named.breaker
  }

  #hasRoom(): boolean {
    if (this.#breakers.size < BREAKERS_MAX) return true
    for (const [id, { breaker }] of this.#breakers) {
      if (breaker.worst !== 'closed') continue
      breaker.close()
      return this.#breakers.delete(id)
    }
    return false
  }

  #newBreaker(name: BreakerName, masterKeyId: string): MasterKeyBreaker {
    const { options, clock, requestMsMax, answerMsMax = requestMsMax } = this.#parts
    return new MasterKeyBreaker({
      options,
      answerMsMax,
      clock,
      rotation: this.#rotation,
      onChange: (state, error) => this.#logChange(name, masterKeyId, state, error),
    })
  }

  #logChange(name: BreakerName, masterKeyId: string, state: BreakerState, error: KmsError | undefined): void {
    const { log, options } = this.#parts
    const facts = { name, masterKeyId, state, ...(error && { error: error.kmsClass }) }
    if (state === 'open') {
      const text = `Circuit breaker ${name} is open for ${options.openMs} ms after ${error?.kmsClass}`
      log.error({ ...facts, runbook: RUNBOOK }, `${text} (see ${RUNBOOK})`)
    } else log.info(facts, `Circuit breaker ${name} is ${state}`)
  }

  #registerMetrics(): Counter<'name'> {
    const { registry } = this.#parts
    const states = (): ReadonlyMap<BreakerName, BreakerState> => this.states()
    new Gauge({
      name: 'circuit_breaker_state',
      help: 'Worst state over all master keys: 0 closed, 1 open, 2 half-open',
      labelNames: ['name'],
      registers: [registry],
      collect() {
        for (const [name, state] of states()) this.set({ name }, GAUGE[state])
      },
    })
    const rejections = new Counter({
      name: 'circuit_breaker_rejections_total',
      help: 'Calls that were not made because a breaker was open',
      labelNames: ['name'],
      registers: [registry],
    })
    for (const name of BREAKER_NAMES) rejections.inc({ name }, 0)
    return rejections
  }
}
