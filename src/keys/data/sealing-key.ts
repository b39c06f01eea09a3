// A data key that seals. It can only come out of the key service's "generate", and its nonce counter lives and dies with
// it; that is the whole argument for nonces that never repeat (proto/sealed-value.md §7). Nothing loads one from bytes.
import { createCipheriv, type KeyObject } from 'node:crypto'
import { SidecarError } from '../../base/errors.ts'
import { announcementKey, announcementKid, formatAnnouncement } from '../../formats/announcement.ts'
import {
  associatedDataPrefix,
  deriveKeys,
  lengthPrefixedTraceId,
  NONCE_BYTES,
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
  readonly traceBound: boolean
  readonly tenantSecret: TenantSecret | undefined
  readonly nowMs: number
}

/** Above this many associated-data prefixes the cache starts anew: attribute keys come from outside. */
const PREFIXES_MAX = 4_096
const PREFIX_KEY_CHARS_MAX = 256
const NONCES_MAX = 2 ** 32
const SCRATCH_BYTES = 64 * 1024
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
const NO_TRACE = lengthPrefixedTraceId(undefined)

export class SealingKey implements Sealer {
  readonly kid: string
  readonly announcementKey: string
  readonly announcement: string
  readonly createdMs: number
  /** Empty where none is mixed in. */
  readonly tenantSecretId: string
  readonly #tenant: string
  readonly #key: KeyObject
  readonly #traceBound: boolean
  readonly #tokenHead: string
  /** Per data class, per attribute key: associated data, whole unless values are bound to traces. */
  readonly #prefixes = new Map<string, Map<string, Buffer>>()
  #prefixCount = 0
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
    this.#traceBound = options.traceBound
    this.#tokenHead = `${TOKEN_PREFIX}${this.kid}.`
    for (const name of options.dataClasses) this.#prefixes.set(name, new Map())
  }

  /** Has the key service make a data key, derives what it needs from it, and zeroes it. Rejects with `KmsError`. */
  static async generate(kms: Kms, options: SealingKeyOptions, abort: AbortSignal): Promise<SealingKey> {
    const context = { tenantId: options.tenant, purpose: 'pii' } as const
    const { plaintext, wrapped, masterKeyId } = await kms.generateDataKey(context, abort)
    const { key, commitment } = deriveKeys(plaintext, context, options.tenantSecret?.bytes)
    plaintext.fill(0)
    const announcement = formatAnnouncement({
      provider: kms.provider,
      masterKeyId,
      context,
      wrappedKey: wrapped,
      commitment,
      createdMs: options.nowMs,
      classes: options.dataClasses,
      traceBound: options.traceBound,
      tenantSecretId: options.tenantSecret?.id ?? '',
    })
    return new SealingKey(key, announcement, options)
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
    const { plaintext } = item
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

  #associatedData(item: SealItem): Buffer {
    const ofClass = this.#prefixes.get(item.dataClass)
    if (ofClass === undefined) throw new SidecarError('INTERNAL', 'data class is not announced by this key')
    const known = ofClass.get(item.attributeKey) ?? this.#addPrefix(ofClass, item)
    if (!this.#traceBound) return known
    return Buffer.concat([known, lengthPrefixedTraceId(item.traceId)])
  }

  #addPrefix(ofClass: Map<string, Buffer>, item: SealItem): Buffer {
    const prefix = associatedDataPrefix(this.#tenant, item.dataClass, item.attributeKey)
    const data = this.#traceBound ? prefix : Buffer.concat([prefix, NO_TRACE])
    if (item.attributeKey.length > PREFIX_KEY_CHARS_MAX) return data
    if (this.#prefixCount >= PREFIXES_MAX) {
      for (const prefixes of this.#prefixes.values()) prefixes.clear()
      this.#prefixCount = 0
    }
    this.#prefixCount++
    ofClass.set(item.attributeKey, data)
    return data
  }
}
