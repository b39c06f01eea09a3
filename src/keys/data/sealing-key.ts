// A data key that seals. It can only come out of the key service's "generate", and its nonce counter lives and dies with
// it; that is the whole argument for nonces that never repeat (proto/sealed-value.md §7). Nothing loads one from bytes.
import { createCipheriv, type KeyObject } from 'node:crypto'
import { SidecarError } from '../../base/errors.ts'
import {
  announcedFacts,
  announcementKey,
  announcementKid,
  formatAnnouncement,
} from '../../formats/announcement.ts'
import {
  associatedData,
  deriveKeys,
  IDS_BYTES,
  NONCE_BYTES,
  padded,
  type Sealer,
  type SealItem,
  TAG_BYTES,
  TOKEN_PREFIX,
} from '../../formats/sealed-value.ts'
import type { Kms } from '../../kms/kms.ts'
import type { TenantSecret } from './tenant-secret.ts'

export interface SealingKeyOptions {
  readonly tenant: string
  /** What the policy may seal, in the order that whoever opens will try. */
  readonly dataClasses: readonly string[]
  /** Bind values to the ids of the span or log record around them. */
  readonly idsBound: boolean
  readonly padded: boolean
  readonly tenantSecret: TenantSecret | undefined
  readonly nowMs: number
}

/** Above this many places the cache of associated data starts anew: attribute keys come from outside. */
const PLACES_MAX = 4_096
const PLACE_CHARS_MAX = 256
const NONCES_MAX = 2 ** 32
const SCRATCH_BYTES = 64 * 1024
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)

export class SealingKey implements Sealer {
  readonly kid: string
  readonly announcementKey: string
  readonly announcement: string
  readonly createdMs: number
  /** Empty where none is mixed in. */
  readonly tenantSecretId: string
  readonly #tenant: string
  readonly #key: KeyObject
  readonly #idsBound: boolean
  readonly #padded: boolean
  readonly #tokenHead: string
  /** Associated data by data class and place, of values outside of records and inside of them, where ids go at its end. */
  readonly #unbound = new Map<string, Map<string, Buffer>>()
  readonly #bound = new Map<string, Map<string, Buffer>>()
  #placeCount = 0
  #usesCount = 0
  #bytesSealed = 0

  private constructor(key: KeyObject, announcement: string, options: SealingKeyOptions) {
    this.kid = announcementKid(announcement)
    this.announcementKey = announcementKey(announcement)
    this.announcement = announcement
    this.createdMs = options.nowMs
    this.tenantSecretId = options.tenantSecret?.id ?? ''
    this.#tenant = options.tenant
    this.#key = key
    this.#idsBound = options.idsBound
    this.#padded = options.padded
    this.#tokenHead = `${TOKEN_PREFIX}${this.kid}.`
    for (const name of options.dataClasses) {
      this.#unbound.set(name, new Map())
      this.#bound.set(name, new Map())
    }
  }

  /** Has the key service make a data key, derives what it needs from it, and zeroes it. Rejects with `KmsError`. */
  static async generate(kms: Kms, options: SealingKeyOptions, abort: AbortSignal): Promise<SealingKey> {
    const context = { tenantId: options.tenant, purpose: 'pii' } as const
    const { plaintext, wrapped, masterKeyId } = await kms.generateDataKey(context, abort)
    const facts = {
      provider: kms.provider,
      masterKeyId,
      context,
      wrappedKey: wrapped,
      createdMs: options.nowMs,
      classes: options.dataClasses,
      idsBound: options.idsBound,
      padded: options.padded,
      tenantSecretId: options.tenantSecret?.id ?? '',
    }
    const { key, commitment } = deriveKeys(plaintext, announcedFacts(facts), options.tenantSecret?.bytes)
    plaintext.fill(0)
    return new SealingKey(key, formatAnnouncement({ ...facts, commitment }), options)
  }

  get usesCount(): number {
    return this.#usesCount
  }

  /** Plaintext bytes sealed so far. */
  get bytesSealed(): number {
    return this.#bytesSealed
  }

  sealAll(items: readonly SealItem[]): string[] {
    const tokens = new Array<string>(items.length)
    for (let index = 0; index < items.length; index++) tokens[index] = this.#seal(items[index]!)
    return tokens
  }

  #seal(item: SealItem): string {
    const plaintext = this.#padded ? padded(item.plaintext) : item.plaintext
    if (this.#usesCount >= NONCES_MAX) throw new SidecarError('KEY_UNAVAILABLE', 'data key is used up')
    const tagAt = NONCE_BYTES + plaintext.length
    const size = tagAt + TAG_BYTES
    const out = size <= SCRATCH_BYTES ? scratch : Buffer.allocUnsafe(size)
    out.writeUInt32BE(plaintext.length, 0)
    out.writeUInt32BE(0, 4)
    out.writeUInt32BE(this.#usesCount++, 8)
    this.#bytesSealed += plaintext.length
    const cipher = createCipheriv('aes-256-gcm', this.#key, out.subarray(0, NONCE_BYTES))
    cipher.setAAD(this.#associatedData(item))
    out.set(cipher.update(plaintext), NONCE_BYTES)
    cipher.final()
    out.set(cipher.getAuthTag(), tagAt)
    return this.#tokenHead + out.toString('base64url', 0, size)
  }

  /** Overwritten by the next value of the same class and place. */
  #associatedData({ dataClass, place, ids }: SealItem): Buffer {
    const hasIds = this.#idsBound && ids !== undefined
    const ofClass = (hasIds ? this.#bound : this.#unbound).get(dataClass)
    if (ofClass === undefined) throw new SidecarError('INTERNAL', 'data class is not announced by this key')
    const data = ofClass.get(place) ?? this.#addPlace(ofClass, dataClass, place, hasIds)
    if (hasIds) data.set(ids, data.length - IDS_BYTES)
    return data
  }

  #addPlace(ofClass: Map<string, Buffer>, dataClass: string, place: string, hasIds: boolean): Buffer {
    const data = associatedData(this.#tenant, dataClass, place, hasIds)
    if (place.length > PLACE_CHARS_MAX) return data
    if (this.#placeCount >= PLACES_MAX) {
      for (const kept of [...this.#bound.values(), ...this.#unbound.values()]) kept.clear()
      this.#placeCount = 0
    }
    this.#placeCount++
    ofClass.set(place, data)
    return data
  }
}
