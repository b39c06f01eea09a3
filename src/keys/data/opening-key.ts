// A data key that opens. It comes out of an announcement by way of the key service's "unwrap", and cannot seal.
import { type KeyObject, timingSafeEqual } from 'node:crypto'
import { openGcm } from '../../formats/aes-gcm.ts'
import {
  type Announcement,
  announcedFacts,
  announcementKid,
  parseAnnouncement,
} from '../../formats/announcement.ts'
import {
  associatedData,
  deriveKeys,
  doesNotOpen,
  IDS_BYTES,
  parseToken,
  type TokenParts,
  unpadded,
} from '../../formats/sealed-value.ts'
import { type Kms, KmsError, type WrappedKey } from '../../kms/kms.ts'
import type { TenantSecret } from './tenant-secret.ts'

const NO_IDS = [undefined]

export interface OpenedValue {
  /** The encoded AnyValue. The caller's. */
  readonly plaintext: Uint8Array
  readonly dataClass: string
}

export class OpeningKey {
  readonly kid: string
  readonly announcement: Announcement
  readonly #key: KeyObject

  private constructor(kid: string, announcement: Announcement, key: KeyObject) {
    this.kid = kid
    this.announcement = announcement
    this.#key = key
  }

  /**
   * The key that `text` announces, unwrapped as the announcement says or, after a change of master keys, as `later` says;
   * the commitment holds either to the same key. Rejects SEALED_VALUE when the text, the wrapped key, the context, the tenant secret or
   * the commitment is wrong, and `KmsError` when the key service could not say.
   */
  static async unwrap(
    kms: Kms,
    text: string,
    tenantSecret: TenantSecret | undefined,
    abort: AbortSignal,
    later?: WrappedKey,
  ): Promise<OpeningKey> {
    const announcement = parseAnnouncement(text)
    if (announcement === undefined) throw doesNotOpen()
    const { purpose, keyId } = announcement.context
    if (purpose !== 'pii' || keyId !== undefined) throw doesNotOpen()
    if (announcement.tenantSecretId !== (tenantSecret?.id ?? '')) throw doesNotOpen()
    const { context } = announcement
    const { wrapped, masterKeyId } = later ?? { ...announcement, wrapped: announcement.wrappedKey }
    const dataKey = await kms.unwrap(wrapped, masterKeyId, context, abort).catch((thrown: unknown) => {
      const isWrongKey = thrown instanceof KmsError && thrown.kmsClass === 'invalid_ciphertext'
      throw isWrongKey ? doesNotOpen(thrown) : thrown
    })
    const { key, commitment } = deriveKeys(dataKey, announcedFacts(announcement), tenantSecret?.bytes)
    dataKey.fill(0)
    if (!timingSafeEqual(commitment, announcement.commitment)) throw doesNotOpen()
    return new OpeningKey(announcementKid(text), announcement, key)
  }

  /**
   * Opens one whole token. `candidates` are the ids that it may be bound to, `undefined` for none, in the order in which
   * they are tried. Throws SEALED_VALUE, always the same, when it does not open.
   */
  open(token: string, place: string, candidates: readonly (Uint8Array | undefined)[]): OpenedValue {
    const parts = parseToken(token)
    if (parts === undefined || parts.kid !== this.kid) throw doesNotOpen()
    const { classes, context, idsBound } = this.announcement
    for (const dataClass of classes) {
      for (const ids of idsBound ? candidates : NO_IDS) {
        const data = associatedData(context.tenantId, dataClass, place, ids !== undefined)
        if (ids !== undefined) data.set(ids, data.length - IDS_BYTES)
        const plaintext = this.#open(parts, data)
        if (plaintext !== undefined) return { plaintext, dataClass }
      }
    }
    throw doesNotOpen()
  }

  #open(parts: TokenParts, data: Uint8Array): Uint8Array | undefined {
    const plaintext = this.#decrypt(parts, data)
    return plaintext !== undefined && this.announcement.padded ? unpadded(plaintext) : plaintext
  }

  #decrypt(parts: TokenParts, data: Uint8Array): Uint8Array | undefined {
    return openGcm(this.#key, parts, data)
  }
}
