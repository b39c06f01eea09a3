// Which `betrace.key.*` attributes from outside are believed: those that we wrote ourselves, and those that our key
// service can unwrap to the key they commit to, as when another sidecar stood before us. Redaction asks synchronously,
// so what a request brings along is looked at before it; a request without such an attribute costs one byte search.
import { LRUCache } from 'lru-cache'
import { asSidecarError, SidecarError } from '../errors.ts'
import {
  ANNOUNCEMENT_BYTES_MAX,
  ANNOUNCEMENT_KEY_PREFIX,
  isAnnouncement,
  parseAnnouncement,
} from '../keys/announcement.ts'
import type { KeyStore } from '../keys/keystore.ts'
import type { Kms } from '../keys/kms.ts'
import { OpeningKey } from '../keys/opening-key.ts'
import { Place, type Signal } from '../wire/otlp.ts'
import { scan, type Visitor } from '../wire/scan.ts'

const VERDICTS_MAX = 10_000
/** A "no" is asked again: a key that was withheld may have been granted since. */
const REFUSED_MS = 60_000
/** Announcements that one request may bring which nobody has judged yet; more are not believed. */
const UNKNOWN_PER_REQUEST_MAX = 32
const PREFIX = Buffer.from(ANNOUNCEMENT_KEY_PREFIX)

export interface TrustParts {
  readonly kms: Kms
  readonly store: KeyStore
}

export class AnnouncementTrust {
  readonly #parts: TrustParts
  // By attribute key and whole text: a kid is a short hash, and two texts could be made to share it.
  readonly #verdicts = new LRUCache<string, boolean>({ max: VERDICTS_MAX })

  constructor(parts: TrustParts) {
    this.#parts = parts
  }

  /** For redaction. False for whatever was not judged by `learn`. */
  isTrusted(kid: string, text: string): boolean {
    return this.#verdicts.get(verdictKey(kid, text)) === true
  }

  /**
   * Judges the announcements of a request. Rejects KEY_UNAVAILABLE when the key service cannot say now: taking one away
   * for that reason would make its values unreadable for good.
   */
  learn(signal: Signal, body: Uint8Array, abort: AbortSignal): Promise<void> | void {
    if (!Buffer.from(body.buffer, body.byteOffset, body.length).includes(PREFIX)) return
    const unknown = findAnnouncements(signal, body).filter(
      ({ kid, text }) => !this.#verdicts.has(verdictKey(kid, text)),
    )
    if (unknown.length > 0) return this.#judge(unknown.slice(0, UNKNOWN_PER_REQUEST_MAX), abort)
  }

  async #judge(found: readonly Found[], abort: AbortSignal): Promise<void> {
    await Promise.all(
      found.map(async ({ kid, text }) => {
        const isOurs = await this.#isOurs(kid, text, abort)
        this.#verdicts.set(verdictKey(kid, text), isOurs, isOurs ? {} : { ttl: REFUSED_MS })
      }),
    )
  }

  async #isOurs(kid: string, text: string, abort: AbortSignal): Promise<boolean> {
    if (!isAnnouncement(ANNOUNCEMENT_KEY_PREFIX + kid, text)) return false
    const announcement = parseAnnouncement(text)!
    const own = this.#parts.store.get('announcement', announcement.context.tenantId, kid)
    if (own !== undefined && Buffer.from(own).toString('utf8') === text) return true
    try {
      await OpeningKey.unwrap(this.#parts.kms, text, undefined, abort)
      return true
    } catch (thrown) {
      const error = asSidecarError(thrown)
      if (!error.isRetryable) return false
      throw new SidecarError('KEY_UNAVAILABLE', 'a key announcement cannot be checked now', { cause: error })
    }
  }
}

interface Found {
  readonly kid: string
  readonly text: string
}

const verdictKey = (kid: string, text: string): string => `${kid}\0${text}`

function findAnnouncements(signal: Signal, body: Uint8Array): Found[] {
  const found: Found[] = []
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
  let kid: string | undefined
  const visitor: Visitor = {
    enter: () => undefined,
    leave: () => undefined,
    text: () => undefined,
    attribute(place, depth, _fieldStart, _end, keyStart, keyEnd) {
      const isOne =
        place === Place.RESOURCE_ATTRIBUTE &&
        depth === 0 &&
        bytes.subarray(keyStart, keyEnd).indexOf(PREFIX) === 0
      kid = isOne ? bytes.toString('latin1', keyStart + PREFIX.length, keyEnd) : undefined
      return false
    },
    scalar(_place, _type, start, end) {
      if (kid !== undefined && end - start <= ANNOUNCEMENT_BYTES_MAX)
        found.push({ kid, text: bytes.toString('utf8', start, end) })
      kid = undefined
    },
    attributeEnd: () => undefined,
  }
  scan(body, signal, visitor)
  return found
}
