// Which `betrace.key.*` attributes from outside are believed: those that we wrote ourselves, and those that our key
// service can unwrap to the key they commit to, as when another sidecar stood before us. Redaction asks synchronously,
// so what a request brings along is looked at before it; a request without such an attribute costs one byte search.
//
// What is announced and untrusted is asked of the key service itself, not through the breakers that sealing depends on, within a
// budget of its own, and each text once however many requests bring it.
import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { settledOrAborted } from '../../base/abort.ts'
import type { Clock } from '../../base/clock.ts'
import { asSidecarError, SidecarError } from '../../base/errors.ts'
import { TokenBucket } from '../../base/token-bucket.ts'
import { ANNOUNCEMENT_KEY_PREFIX, isAnnouncement, parseAnnouncement } from '../../formats/announcement.ts'
import { isTenantId } from '../../formats/tenant-id.ts'
import { type Kms, KmsError } from '../../kms/kms.ts'
import type { Signal } from '../../wire/otlp.ts'
import { OpeningKey } from '../data/opening-key.ts'
import type { KeyStore } from '../records/keystore.ts'
import { type FoundAnnouncement, findAnnouncements } from './announcement-search.ts'

const VERDICTS_MAX = 10_000
/** A "no" that is about rights is asked again: the key may have been granted since. One that is about bytes stays. */
const REFUSED_MS = 300_000
/** New ones that one request may bring; with more it is asked to come again, and finds these judged. */
const NEW_PER_REQUEST_MAX = 1_024
const CHECKS_AT_ONCE_MAX = 16
/** A burst for a start, when every tenant's key is new; then more than hourly keys of 100,000 tenants need. A refusal costs two calls. */
const CHECKS_MAX = 2_000
const CHECKS_PER_SECOND = 50
/**
 * So long a request is held back for an announcement under a master key that our configuration does not name and that
 * cannot be reached, while our own can: it may be one that was ours, or one that never was.
 */
const STRANGE_KEY_MS = 60_000
const PREFIX = Buffer.from(ANNOUNCEMENT_KEY_PREFIX)

export interface TrustSettings {
  /** Counted and bounded in time, and not behind the breakers. */
  readonly kms: Kms
  readonly store: KeyStore
  readonly clock: Clock
  /** Whether our own calls to the key service find it down. */
  readonly isUnreachable: () => boolean
}

/** Lets the key service be asked with a request's own patience; the pipeline's. */
export interface Patience {
  ask<Answer>(fetch: (abort: AbortSignal) => Promise<Answer>): Promise<Answer>
}

interface Unknown extends FoundAnnouncement {
  /** Of its verdict. */
  readonly key: string
}

interface Verdict {
  readonly isOurs: boolean
  /** On `clock.monotonicMs()`. */
  readonly askAgainAtMs: number
}

export class AnnouncementTrust {
  readonly #parts: TrustSettings
  readonly #budget: TokenBucket
  // Only what the key service was asked for: forgeries are free to make, and would push the verdicts of others out.
  // By a hash of attribute key and text: a kid is a short hash, and two texts could be made to share it.
  readonly #verdicts = new LRUCache<string, Verdict>({ max: VERDICTS_MAX })
  readonly #underWay = new Map<string, Promise<void>>()
  /** When nobody could say for the first time; on `clock.monotonicMs()`. */
  readonly #unsaidSinceMs = new LRUCache<string, number>({ max: VERDICTS_MAX })

  constructor(parts: TrustSettings) {
    this.#parts = parts
    this.#budget = new TokenBucket(parts.clock, CHECKS_MAX, CHECKS_PER_SECOND)
  }

  /** For redaction. False for what is not our own and was not judged by `checkAnnouncements`. */
  isTrusted(kid: string, text: string): boolean {
    const verdict = this.#verdicts.get(verdictKey(kid, text))
    return verdict?.isOurs ?? this.#isOwnOrForged(kid, text) === true
  }

  /**
   * Judges the announcements of a request. Rejects retryably when the key service cannot say before the request's
   * deadline: taking one away for that reason would make its values unreadable for good.
   */
  checkAnnouncements(signal: Signal, body: Uint8Array, patience: Patience): Promise<void> | void {
    if (!Buffer.from(body.buffer, body.byteOffset, body.length).includes(PREFIX)) return
    const unknown = this.#unknownOf(findAnnouncements(signal, body))
    if (unknown.length === 0) return
    return patience.ask((abort) => this.#judgeAll(unknown, abort))
  }

  /** Those that the key service has to be asked for, each once. */
  #unknownOf(found: readonly FoundAnnouncement[]): Unknown[] {
    const nowMs = this.#parts.clock.monotonicMs()
    const unknown = new Map<string, Unknown>()
    for (const { kid, text } of found) {
      const key = verdictKey(kid, text)
      const verdict = this.#verdicts.get(key)
      const isUnknown =
        verdict === undefined ? this.#isOwnOrForged(kid, text) === undefined : nowMs >= verdict.askAgainAtMs
      if (isUnknown) unknown.set(key, { key, kid, text })
    }
    return [...unknown.values()]
  }

  async #judgeAll(found: readonly FoundAnnouncement[], abort: AbortSignal): Promise<void> {
    // Those that an earlier try has judged are not asked again.
    const next = this.#unknownOf(found).slice(0, NEW_PER_REQUEST_MAX).values()
    const work = async (): Promise<void> => {
      for (const unknown of next) await this.#judge(unknown, abort)
    }
    await Promise.all(Array.from({ length: CHECKS_AT_ONCE_MAX }, work))
    // There were more, or more than are remembered.
    if (this.#unknownOf(found).length > 0) throw tooMany()
  }

  #judge(unknown: Unknown, abort: AbortSignal): Promise<void> {
    const { key } = unknown
    let judging = this.#underWay.get(key)
    if (judging === undefined) {
      judging = this.#decide(unknown).finally(() => this.#underWay.delete(key))
      this.#underWay.set(key, judging)
    }
    return settledOrAborted(judging, abort, cannotSay)
  }

  async #decide({ key, text }: Unknown): Promise<void> {
    const nowMs = this.#parts.clock.monotonicMs()
    if (!this.#budget.take()) throw tooMany()
    try {
      await this.#vouchFor(text)
      this.#verdicts.set(key, { isOurs: true, askAgainAtMs: Number.POSITIVE_INFINITY })
    } catch (thrown) {
      const error = asSidecarError(thrown)
      // A "no" from before stands while nobody can be asked; where there is none, the request comes again.
      if (error.isRetryable && !this.#verdicts.has(key) && this.#mayHeal(key, text)) throw cannotSay(error)
      const isForGood =
        error.code === 'SEALED_VALUE' ||
        (error instanceof KmsError && error.kmsClass === 'invalid_ciphertext')
      const askAgainAtMs = isForGood ? Number.POSITIVE_INFINITY : nowMs + REFUSED_MS
      this.#verdicts.set(key, { isOurs: false, askAgainAtMs })
    }
  }

  /** Rejects where the key service, or the key that it unwraps, says that the announcement is none. */
  async #vouchFor(text: string): Promise<void> {
    // Whoever asked first may leave; the answer is for all who bring this text.
    const { signal } = new AbortController()
    const { tenantSecretId, wrappedKey, masterKeyId, context } = parseAnnouncement(text)!
    if (tenantSecretId === '' || context.purpose !== 'pii') {
      await OpeningKey.unwrap(this.#parts.kms, text, undefined, signal)
      return
    }
    // Its commitment needs a secret that never travels, so that the master key wrapped it in this context has to do.
    const key = await this.#parts.kms.unwrap(wrappedKey, masterKeyId, context, signal)
    key.fill(0)
  }

  #mayHeal(key: string, text: string): boolean {
    const { kms, clock, isUnreachable } = this.#parts
    const { masterKeyId, context } = parseAnnouncement(text)!
    const canonical = (id: string): string => kms.canonicalKeyId?.(id) ?? id
    const ours = [kms.masterKeyId, kms.masterKeyOf?.(context.tenantId) ?? kms.masterKeyId]
    if (isUnreachable() || ours.some((id) => canonical(id) === canonical(masterKeyId))) return true
    const sinceMs = this.#unsaidSinceMs.get(key) ?? clock.monotonicMs()
    this.#unsaidSinceMs.set(key, sinceMs)
    return clock.monotonicMs() - sinceMs < STRANGE_KEY_MS
  }

  /** What needs no key service to say; `undefined` where it has to be asked. */
  #isOwnOrForged(kid: string, text: string): boolean | undefined {
    if (!isAnnouncement(ANNOUNCEMENT_KEY_PREFIX + kid, text)) return false
    const { provider, context } = parseAnnouncement(text)!
    if (provider !== this.#parts.kms.provider || !isTenantId(context.tenantId)) return false
    const own = this.#parts.store.get('announcement', context.tenantId, kid)
    return own !== undefined && Buffer.from(own).toString('utf8') === text ? true : undefined
  }
}

const verdictKey = (kid: string, text: string): string =>
  createHash('sha256')
    .update(JSON.stringify([kid, text]))
    .digest('base64')

const cannotSay = (cause?: SidecarError): SidecarError =>
  new SidecarError('KEY_UNAVAILABLE', 'a key announcement cannot be checked now', {
    ...(cause && { cause }),
    retryAfterMs: 1_000,
  })

const tooMany = (): SidecarError =>
  new SidecarError('OVERLOADED', 'too many new key announcements', { retryAfterMs: 1_000 })
