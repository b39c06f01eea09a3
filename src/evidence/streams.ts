// The streams of this process, one per tenant: what they sign, and what of it still has to reach the store.
//
// A statement once signed must reach the store, since the next one names its hash. Statements are handed to a commit
// that may fail, while later requests have already built on them. Taking a failed statement back would fork the chain
// if the commit reached the disk after all, so it is never taken back: it is handed out again, in front of whatever
// the stream signs next, together with a tombstone for its spans, which the client was told to send again. Storing a
// statement twice is harmless (same key, same bytes). So at each moment the store lacks at most statements whose
// spans never left the process; if the process dies before they are handed out again, a reader sees a missing batch:
// an alarm too many, never one too few. A stream hands them out only when its key is there to sign the tombstone, so a
// batch and its tombstone always travel together.
//
// A store that fails for hours must not fill memory: beyond PENDING_STATEMENTS_MAX signing is refused retryably, but
// for one request every PROBE_NS, which carries everything that waits and so finds out whether the store has healed.
//
// A tenant that falls silent does not hold a stream for ever: it ends with a SHUTDOWN, and once that is in the store the
// stream is forgotten. Should the tenant come back, the stored tip says where it goes on.
import { SidecarError } from '../base/errors.ts'
import {
  Chain,
  type ChainedStatement,
  type ChainMark,
  isTipRecord,
  type Signer,
  type SigningKey,
  type StatementRecord,
  tipKey,
} from './chain.ts'
import type { BatchRef } from './refs.ts'
import { decodeSignedStatement, decodeStatement, Kind, Reason } from './statement.ts'

/** Reads what the store has under `tipKey(tenant)`: the tenant's last statement before this start. */
export type Tips = (tenant: string) => Uint8Array | undefined

/** Statements without spans. `missing`: tenants left out since their key was not given. */
export interface Emitted {
  readonly statements: readonly StatementRecord[]
  readonly missing: readonly string[]
}

/** Statements waiting to be handed out again, over all streams, before signing is refused. */
export const PENDING_STATEMENTS_MAX = 1024
const PROBE_NS = 5_000_000_000n

interface Stream {
  readonly chain: Chain
  /** Statements of failed commits, oldest first. */
  readonly pending: StatementRecord[]
  /** Batches among them that need a tombstone. */
  readonly refused: BatchRef[]
  /** When it last signed a batch or a tombstone. */
  usedAtNs: bigint
  /** The SHUTDOWN that ended it, until it signs again. */
  ended: StatementRecord | undefined
}

export class Streams {
  readonly #signer: Signer
  readonly #tips: Tips
  readonly #countMax: number
  readonly #streams = new Map<string, Stream>()
  #pendingCount = 0
  #probedAtNs = 0n

  /** `tenantsMax`: more streams than that, and those whose commits fail, are refused. */
  constructor(signer: Signer, tips: Tips, tenantsMax: number) {
    this.#signer = signer
    this.#tips = tips
    this.#countMax = tenantsMax + PENDING_STATEMENTS_MAX
  }

  get tenants(): string[] {
    return [...this.#streams.keys()]
  }

  get pendingCount(): number {
    return this.#pendingCount
  }

  has(tenant: string): boolean {
    return this.#streams.has(tenant)
  }

  /** At most so many whose stream has signed nothing since then, and nothing of which waits for the store. */
  idleTenants(sinceNs: bigint, countMax: number): string[] {
    const idle: string[] = []
    for (const [tenant, { usedAtNs, pending }] of this.#streams) {
      if (idle.length === countMax) break
      if (usedAtNs < sinceNs && pending.length === 0) idle.push(tenant)
    }
    return idle
  }

  /** Ends the streams of these tenants; `forget` them when that is in the store. */
  end(tenants: readonly string[], keys: ReadonlyMap<string, SigningKey>, nowNs: bigint): Emitted {
    const emitted = this.emit(tenants, keys, nowNs, (chain, key, statements) => {
      statements.push(chain.append({ kind: Kind.SHUTDOWN }, key, nowNs).record)
    })
    for (const tenant of tenants) {
      const stream = this.#streams.get(tenant)
      if (stream !== undefined && keys.has(tenant)) stream.ended = stream.chain.last
    }
    return emitted
  }

  /** Those whose end is the last that they signed. Its commit has succeeded, or this must not be called. */
  forget(tenants: readonly string[]): void {
    for (const tenant of tenants) {
      const stream = this.#streams.get(tenant)
      if (stream?.ended === undefined || stream.ended !== stream.chain.last) continue
      if (stream.pending.length === 0) this.#streams.delete(tenant)
    }
  }

  /** Tenants with statements to hand out again. */
  get pendingTenants(): string[] {
    if (this.#pendingCount === 0) return []
    return this.tenants.filter((tenant) => (this.#streams.get(tenant)?.pending.length ?? 0) > 0)
  }

  /**
   * The commit of these statements failed: they are handed out again with what their streams sign next, and their
   * spans get tombstones.
   */
  failed(statements: readonly StatementRecord[]): void {
    const touched = new Set<Stream>()
    const batches: BatchRef[] = []
    const buried = new Set<string>()
    for (const record of statements) {
      if (isTipRecord(record)) continue
      const { kind, tenant, bootId, number, leafCount, tombstone } = decodeStatement(
        decodeSignedStatement(record.value).statement,
      )
      const stream = this.#streams.get(tenant)
      if (stream === undefined) continue
      stream.pending.push(record)
      this.#pendingCount++
      touched.add(stream)
      if (kind === Kind.BATCH) batches.push({ tenant, bootId, number, leafCount: leafCount ?? 0 })
      if (tombstone !== undefined) buried.add(batchId(tenant, tombstone.bootId, tombstone.number))
    }
    for (const ref of batches) {
      if (buried.has(batchId(ref.tenant, ref.bootId, ref.number))) continue
      this.#streams.get(ref.tenant)?.refused.push(ref)
    }
    for (const stream of touched) stream.pending.sort((a, b) => Buffer.compare(a.key, b.key))
  }

  /** Throws STORE_FAILED while too much waits for the store. */
  refuseWhileStoreFails(nowNs: bigint): void {
    if (this.#pendingCount < PENDING_STATEMENTS_MAX) return
    const sinceNs = nowNs - this.#probedAtNs
    if (sinceNs >= 0n && sinceNs < PROBE_NS) {
      throw new SidecarError('STORE_FAILED', 'too many statements wait for the store', {
        retryAfterMs: 5_000,
      })
    }
    this.#probedAtNs = nowNs
  }

  /**
   * For each tenant whose key is given: its boot if it has none, what waits of failed commits, then what `add` signs,
   * and its new tip. If anything throws, no stream has moved.
   */
  emit(
    tenants: readonly string[],
    keys: ReadonlyMap<string, SigningKey>,
    nowNs: bigint,
    add: (chain: Chain, key: SigningKey, statements: StatementRecord[]) => void,
  ): Emitted {
    const statements: StatementRecord[] = []
    const missing: string[] = []
    const moved: { stream: Stream; mark: ChainMark }[] = []
    try {
      for (const tenant of tenants) {
        const key = keys.get(tenant)
        if (key === undefined) {
          missing.push(tenant)
          continue
        }
        const stream = this.#streamOf(tenant)
        const { chain } = stream
        moved.push({ stream, mark: chain.mark() })
        const first = statements.length
        for (const record of stream.pending) statements.push(record)
        if (!chain.isBooted) statements.push(chain.append({ kind: Kind.BOOT }, key, nowNs).record)
        const before = chain.last
        for (const ref of stream.refused)
          statements.push(tombstoneFor(chain, ref, Reason.NOT_STORED, key, nowNs).record)
        add(chain, key, statements)
        // A tip that older statements are handed out behind must not move backwards.
        const { last } = chain
        if (last !== undefined && (last !== before || isAmong(statements, first, last))) {
          statements.push({ key: tipKey(tenant), value: last.value })
        }
      }
    } catch (thrown) {
      for (const { stream, mark } of moved) stream.chain.rewind(mark)
      throw thrown
    }
    for (const { stream } of moved) this.#settle(stream)
    return { statements, missing }
  }

  /** Notes that these streams were needed, so that they are not idle. */
  used(tenants: Iterable<string>, nowNs: bigint): void {
    for (const tenant of tenants) {
      const stream = this.#streams.get(tenant)
      if (stream !== undefined) stream.usedAtNs = nowNs
    }
  }

  #settle(stream: Stream): void {
    this.#streams.set(stream.chain.tenant, stream)
    this.#pendingCount -= stream.pending.length
    stream.pending.length = 0
    stream.refused.length = 0
  }

  #streamOf(tenant: string): Stream {
    const stream = this.#streams.get(tenant)
    if (stream !== undefined) return stream
    if (this.#streams.size >= this.#countMax) throw new SidecarError('TENANT_DENIED', 'too many tenants')
    const chain = new Chain(this.#signer, tenant, this.#tips(tenant))
    return { chain, pending: [], refused: [], usedAtNs: 0n, ended: undefined }
  }
}

function batchId(tenant: string, bootId: Uint8Array, number: number): string {
  return JSON.stringify([Buffer.from(bootId).toString('hex'), number, tenant])
}

/** Only from `first` on, where the stream's own begin: a request may have thousands of streams. */
function isAmong(records: readonly StatementRecord[], first: number, wanted: StatementRecord): boolean {
  for (let i = first; i < records.length; i++) {
    if (Buffer.compare(records[i].key, wanted.key) === 0) return true
  }
  return false
}

/** A tombstone for all leaves of a batch. */
export function tombstoneFor(
  chain: Chain,
  ref: BatchRef,
  reason: Reason,
  key: SigningKey,
  nowNs: bigint,
): ChainedStatement {
  const ranges = [{ first: 0, count: ref.leafCount }]
  const tombstone = { bootId: ref.bootId, number: ref.number, ranges, reason }
  return chain.append({ kind: Kind.TOMBSTONE, tombstone }, key, nowNs)
}
