// A master key was replaced, or the keys move to another provider: every wrapped key in the key store is wrapped anew under
// the master key that is configured now. Announcements that travelled cannot change, since their name is their hash; each
// gets a companion record, so that values still open from the key store when the old master key is gone.
// What was done is known by the record itself, so an interrupted run goes on where it stopped.
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import { asSidecarError, SidecarError } from '../../base/errors.ts'
import { parseAnnouncement } from '../../formats/announcement.ts'
import type { KmsContext } from '../../formats/key-context.ts'
import { type Kms, KmsError, type WrappedKey } from '../../kms/kms.ts'
import { decodeKeyRecord, encodeKeyRecord, KeyRecordError } from '../records/key-record.ts'
import type { KeyRecordKind, KeyStore } from '../records/keystore.ts'
import { contextOf } from '../records/stored-key.ts'
import type { TenantTurns } from '../rotation/tenant-turns.ts'

export interface RewrapSettings {
  /** Where the keys are wrapped by now; `to` as well, when it still opens them. */
  readonly from: Kms | undefined
  readonly to: Kms
  readonly store: KeyStore
  readonly clock: Clock
  /** Where others work on the records meanwhile. */
  readonly turns?: TenantTurns
  readonly onProgress?: (progress: RewrapProgress) => void
}

export interface RewrapProgress {
  readonly total: number
  /** Wrapped anew. */
  readonly rewrapped: number
  /** Stood under the configured master key already. */
  readonly skipped: number
  readonly failed: number
}

export interface RewrapReport extends RewrapProgress {
  readonly isInterrupted: boolean
  /** By reason, each with its first error; what failed stays as it was. */
  readonly failures: readonly RewrapFailure[]
}

export interface RewrapFailure {
  readonly error: SidecarError
  readonly count: number
  /** The first few, `kind/tenant/id`. */
  readonly records: readonly string[]
}

interface Item {
  readonly kind: Exclude<KeyRecordKind, 'rewrapped'>
  readonly tenant: string
  readonly id: string
}

/** What is to be wrapped anew, and how it is kept then. */
interface Wrapped extends WrappedKey {
  readonly provider: string
  readonly context: KmsContext
  readonly record: (key: WrappedKey & { readonly provider: string }) => {
    readonly kind: KeyRecordKind
    readonly bytes: Uint8Array
  }
}

const KINDS = ['signing', 'pseudonym', 'secret', 'announcement'] as const
const AT_ONCE_MAX = 8
const RECORDS_NAMED_MAX = 3

/**
 * Rewraps everything; one record's failure is not another's, and leaves it as it was. When the signal aborts, no further
 * record is taken up, and those under way are finished.
 */
export async function rewrapAll(parts: RewrapSettings, abort: AbortSignal): Promise<RewrapReport> {
  const items: Item[] = []
  for (const kind of KINDS)
    for (const { tenant, id } of parts.store.list(kind)) items.push({ kind, tenant, id })
  const progress = { total: items.length, rewrapped: 0, skipped: 0, failed: 0 }
  const failures = new Map<string, RewrapFailure>()
  const targets = new Targets(parts.to)
  const toTheEnd = new AbortController().signal
  const waiting = items.values()
  const work = async (): Promise<void> => {
    for (const item of waiting) {
      if (abort.aborted) return
      const rewrap = (): ReturnType<typeof rewrapOne> => rewrapOne(parts, item, targets, toTheEnd)
      const turn = parts.turns?.take(item.tenant, rewrap) ?? rewrap()
      const outcome = await turn.catch((thrown: unknown) => {
        noteFailure(failures, item, asSidecarError(thrown))
        return 'failed' as const
      })
      progress[outcome]++
      parts.onProgress?.({ ...progress })
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE_MAX, items.length) }, work))
  const done = progress.rewrapped + progress.skipped + progress.failed
  return { ...progress, isInterrupted: done < items.length, failures: [...failures.values()] }
}

/** The later wrapping of an announced data key, if there is one. A damaged record counts as none. */
export function rewrappedKey(
  store: Pick<KeyStore, 'get'>,
  tenant: string,
  kid: string,
): (WrappedKey & { readonly provider: string }) | undefined {
  const bytes = store.get('rewrapped', tenant, kid)
  if (bytes === undefined) return undefined
  try {
    const { provider, masterKeyId, wrappedKey } = decodeKeyRecord('rewrapped', tenant, kid, bytes)
    return { provider, masterKeyId, wrapped: wrappedKey }
  } catch (thrown) {
    if (thrown instanceof KeyRecordError) return undefined
    throw thrown
  }
}

/** Which master key wraps for a tenant now, asked once each: services name keys in their own words. */
class Targets {
  readonly #kms: Kms
  readonly #byTenant = new Map<string, Promise<string>>()

  constructor(kms: Kms) {
    this.#kms = kms
  }

  of(tenant: string, abort: AbortSignal): Promise<string> {
    const known = this.#byTenant.get(tenant)
    if (known !== undefined) return known
    const context = { tenantId: tenant, purpose: 'probe' } as const
    const asked = this.#kms.wrap(randomBytes(32), context, abort).then(({ masterKeyId }) => masterKeyId)
    this.#byTenant.set(tenant, asked)
    return asked
  }
}

async function rewrapOne(
  parts: RewrapSettings,
  item: Item,
  targets: Targets,
  abort: AbortSignal,
): Promise<'rewrapped' | 'skipped'> {
  const target = await targets.of(item.tenant, abort)
  const isDone = ({ provider, masterKeyId }: { provider: string; masterKeyId: string }): boolean =>
    provider === parts.to.provider && masterKeyId === target
  const wrapped =
    item.kind === 'announcement' ? announced(parts, item) : stored(parts, { ...item, kind: item.kind })
  if (isDone(wrapped)) return 'skipped'
  const plaintext = await unwrapByEither(parts, wrapped, abort)
  try {
    const fresh = await parts.to.wrap(plaintext, wrapped.context, abort)
    await proveSame(parts.to, fresh, wrapped.context, plaintext, abort)
    const { kind, bytes } = wrapped.record({ ...fresh, provider: parts.to.provider })
    await parts.store.put(kind, item.tenant, item.id, bytes)
    return 'rewrapped'
  } finally {
    plaintext.fill(0)
  }
}

function stored(parts: RewrapSettings, item: Item & { kind: 'signing' | 'pseudonym' | 'secret' }): Wrapped {
  const { kind, tenant, id } = item
  const bytes = parts.store.get(kind, tenant, id)
  if (bytes === undefined) throw new KeyRecordError(kind, tenant, id)
  const record = decodeKeyRecord(kind, tenant, id, bytes)
  return {
    provider: record.provider,
    masterKeyId: record.masterKeyId,
    wrapped: record.wrappedKey,
    context: contextOf(kind, tenant, id),
    record: ({ provider, masterKeyId, wrapped }) => ({
      kind,
      bytes: encodeKeyRecord(kind, { ...record, provider, masterKeyId, wrappedKey: wrapped }),
    }),
  }
}

function announced(parts: RewrapSettings, { tenant, id }: Item): Wrapped {
  const text = Buffer.from(parts.store.get('announcement', tenant, id) ?? []).toString('utf8')
  const announcement = parseAnnouncement(text)
  if (announcement === undefined) throw new KeyRecordError('announcement', tenant, id)
  const { context, createdMs } = announcement
  const record: Wrapped['record'] = ({ provider, masterKeyId, wrapped }) => ({
    kind: 'rewrapped',
    bytes: encodeKeyRecord('rewrapped', {
      tenant,
      id,
      provider,
      masterKeyId,
      wrappedKey: wrapped,
      publicKey: new Uint8Array(0),
      createdMs,
      notAfterMs: undefined,
      status: 'ACTIVE',
      endorsedBy: '',
      endorsement: new Uint8Array(0),
    }),
  })
  const companion = rewrappedKey(parts.store, tenant, id)
  if (companion !== undefined) return { ...companion, context, record }
  const { provider, masterKeyId, wrappedKey } = announcement
  return { provider, masterKeyId, wrapped: wrappedKey, context, record }
}

async function unwrapByEither(parts: RewrapSettings, key: Wrapped, abort: AbortSignal): Promise<Uint8Array> {
  const { from, to } = parts
  const candidates = [from, to]
    .filter((kms) => kms?.provider === key.provider)
    .filter((kms) => kms !== undefined)
  let failure: unknown = new SidecarError('CONFIG', 'no configured key service is of the record’s provider')
  for (const kms of candidates) {
    try {
      return await kms.unwrap(key.wrapped, key.masterKeyId, key.context, abort)
    } catch (thrown) {
      // What the old service says matters more than that the new one does not know its key.
      if (kms === candidates[0]) failure = thrown
    }
  }
  throw failure
}

/** The record is about to be replaced by `fresh`: first see that it gives back what went in. */
async function proveSame(
  kms: Kms,
  fresh: WrappedKey,
  context: KmsContext,
  plaintext: Uint8Array,
  abort: AbortSignal,
): Promise<void> {
  const again = await kms.unwrap(fresh.wrapped, fresh.masterKeyId, context, abort)
  const isSame = again.length === plaintext.length && timingSafeEqual(again, plaintext)
  again.fill(0)
  if (!isSame) throw new KmsError('invalid_ciphertext', 'rewrap', 'the new wrapping opens to other bytes')
}

/** Services put numbers of their own into their words, so those do not make a reason another one. */
function noteFailure(
  failures: Map<string, RewrapFailure>,
  { kind, tenant, id }: Item,
  error: SidecarError,
): void {
  const reason = JSON.stringify([error.code, error instanceof KmsError ? error.kmsClass : error.message])
  const known = failures.get(reason) ?? { error, count: 0, records: [] }
  const records =
    known.count < RECORDS_NAMED_MAX ? [...known.records, `${kind}/${tenant}/${id}`] : known.records
  failures.set(reason, { ...known, count: known.count + 1, records })
}
