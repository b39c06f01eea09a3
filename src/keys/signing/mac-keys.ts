// Old secrets of `hmac-sha256`, for whoever wants a span checked. A MAC names no tenant and its secret is stored wrapped,
// so the key service is asked, for ids of our own alone: not through the breakers that signing depends on, each key once
// while it stays in the cache, and within a budget, since everybody may ask.

import { asSidecarError, SidecarError } from '../../base/errors.ts'
import { TokenBucket } from '../../base/token-bucket.ts'
import type { VerifyingKey } from '../../evidence/check.ts'
import { macKeyOf } from '../../evidence/mac-key.ts'
import { KeyCache } from '../cache.ts'
import type { KeysOptions } from '../keys-options.ts'
import { decodeKeyRecord, KeyRecordError } from '../records/key-record.ts'
import type { StoredKeySettings } from '../records/stored-key.ts'
import { openSigningKey } from './signing-keys.ts'

/** A burst for an audit over many tenants and years, then what checks one after the other need. */
const OPENED_MAX = 2_000
const OPENED_PER_SECOND = 50
/** Ids read between two turns of the event loop. */
const SLICE_COUNT = 200

export interface MacKeysSettings extends StoredKeySettings {
  /** Key id → tenant, of keys that have signed since the start: the store is read once. */
  readonly signedSince: ReadonlyMap<string, string>
}

export class MacKeys {
  readonly #parts: MacKeysSettings
  readonly #budget: TokenBucket
  readonly #opened: KeyCache<VerifyingKey>
  #stored: Promise<ReadonlyMap<string, string>> | undefined

  constructor(
    parts: MacKeysSettings,
    options: Pick<KeysOptions, 'sizeMax' | 'privateKeyTtlMs' | 'staleGraceMs' | 'loadMsMax' | 'failureMsMax'>,
  ) {
    this.#parts = parts
    this.#budget = new TokenBucket(parts.clock, OPENED_MAX, OPENED_PER_SECOND)
    this.#opened = new KeyCache({
      ...options,
      ttlMs: options.privateKeyTtlMs,
      clock: parts.clock,
      random: Math.random,
      load: (id, abort) => this.#open(id, abort),
    })
  }

  /**
   * Those of the ids that are ours and can be opened; of the others nothing is said. Rejects when the key service, or this
   * sidecar's patience with it, cannot say now.
   */
  async load(ids: Iterable<string>, abort: AbortSignal): Promise<ReadonlyMap<string, VerifyingKey>> {
    const keys = new Map<string, VerifyingKey>()
    for (const id of ids) {
      if ((await this.#tenantOf(id)) === undefined) continue
      try {
        keys.set(id, await this.#opened.load(id, abort))
      } catch (thrown) {
        const error = asSidecarError(thrown)
        // A damaged record, or a master key that is gone, is gone tomorrow too.
        if (error.isRetryable) throw new SidecarError('KEY_UNAVAILABLE', 'no usable key', { cause: error })
      }
    }
    return keys
  }

  async #open(id: string, abort: AbortSignal): Promise<VerifyingKey> {
    if (!this.#budget.take())
      throw new SidecarError('OVERLOADED', 'too many old keys asked for', { retryAfterMs: 1_000 })
    const tenant = (await this.#tenantOf(id)) ?? ''
    const bytes = this.#parts.store.get('signing', tenant, id)
    if (bytes === undefined) throw new KeyRecordError('signing', tenant, id)
    const record = decodeKeyRecord('signing', tenant, id, bytes)
    const { privateKey } = macKeyOf(await openSigningKey(this.#parts, record, abort))
    const { status, notAfterMs } = record
    return {
      algorithm: 'hmac-sha256',
      key: privateKey,
      tenant,
      isRevoked: status === 'REVOKED',
      notAfterMs,
      isPinned: true,
    }
  }

  async #tenantOf(id: string): Promise<string | undefined> {
    this.#stored ??= this.#list().catch((thrown: unknown) => {
      this.#stored = undefined
      throw thrown
    })
    return this.#parts.signedSince.get(id) ?? (await this.#stored).get(id)
  }

  async #list(): Promise<ReadonlyMap<string, string>> {
    const tenants = new Map<string, string>()
    for (const { tenant, id } of this.#parts.store.list('signing')) {
      tenants.set(id, tenant)
      if (tenants.size % SLICE_COUNT === 0) await new Promise<void>((resolve) => setImmediate(resolve))
    }
    return tenants
  }
}
