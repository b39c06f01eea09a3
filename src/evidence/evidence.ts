// What the pipeline holds: signs the selected spans of a request and keeps each tenant's chain of statements.
//
// A statement once signed must reach the store, since the next one names its hash. `sign` hands statements to a commit
// that may fail, while later requests have already built on them. Taking a failed statement back would fork the chain
// if the commit reached the disk after all, so it is never taken back: it is handed out again, in front of whatever
// the stream signs next, together with a tombstone for its spans, which the client was told to send again. Storing a
// statement twice is harmless (same key, same bytes). So at each moment the store lacks at most statements whose
// spans never left the process; if the process dies before they are handed out again, a reader sees a missing batch:
// an alarm too many, never one too few. While a stream has statements to hand out again, it hands them out only when
// its key is there to sign the tombstone, so a batch and its tombstone always travel together.
//
// A store that fails for hours must not fill memory: beyond PENDING_STATEMENTS_MAX signing is refused retryably, but
// for one request every PROBE_NS, which carries everything that waits and so finds out whether the store has healed.
import { SidecarError } from '../errors.ts'
import { TENANTS_MAX } from '../limits.ts'
import { splice } from '../wire/splice.ts'
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
import { type KeyLookup, SpanChecker } from './check.ts'
import { pathLength } from './merkle.ts'
import type { EvidenceMetrics } from './metrics.ts'
import { Policy, type PolicyOptions } from './policy.ts'
import { ProofWriter, signatureAttributes } from './proof.ts'
import type { BatchRef } from './refs.ts'
import { type Batch, SelectedSpans } from './selected-spans.ts'
import { spanMac } from './span-mac.ts'
import { decodeSignedStatement, decodeStatement, isDefaultCoverage, Kind, Reason } from './statement.ts'

export type { SigningKey, StatementRecord } from './chain.ts'
export type { KeyLookup, VerifyingKey } from './check.ts'
export type { BatchRef } from './refs.ts'

export interface EvidenceOptions {
  readonly policy?: Partial<PolicyOptions>
  /** Names this sidecar; UTF-8. */
  readonly instanceId: string
  /** 16 bytes, new for each start; UUID version 7, so that boots are stored in order. */
  readonly bootId: Uint8Array
  /** Keys whose signatures on incoming spans are left alone. Absent: every incoming signature is removed. */
  readonly knownKeys?: KeyLookup
}

/** Reads what the store has under `tipKey(tenant)`: the tenant's last statement before this start. */
export type Tips = (tenant: string) => Uint8Array | undefined

export interface Signed {
  /** The same buffer when nothing was signed or removed. */
  readonly body: Uint8Array
  readonly signedCount: number
  /** Go into the store in the same transaction as the body. When that fails, give them to `failed`. */
  readonly statements: readonly StatementRecord[]
  readonly refs: readonly BatchRef[]
  /** Tenants whose key is needed and was not given: the body is unusable, no state has moved; load and call again. */
  readonly missing: readonly string[]
  /** Spans whose signature from outside was good and stays. */
  readonly keptCount: number
  /** Spans from which a signature from outside was removed. */
  readonly forgedCount: number
}

/** Statements without spans. `missing`: tenants left out since their key was not given. */
export interface Emitted {
  readonly statements: readonly StatementRecord[]
  readonly missing: readonly string[]
}

export type GiveUpReason = 'not_stored' | 'dead_letter' | 'dropped'

/** Statements waiting to be handed out again, over all streams, before signing is refused. */
export const PENDING_STATEMENTS_MAX = 1024
const PROBE_NS = 5_000_000_000n

const REASONS = {
  not_stored: Reason.NOT_STORED,
  dead_letter: Reason.DEAD_LETTER,
  dropped: Reason.DROPPED,
} as const satisfies Record<GiveUpReason, Reason>

interface Stream {
  readonly chain: Chain
  /** Statements of failed commits, oldest first. */
  readonly pending: StatementRecord[]
  /** Batches among them that need a tombstone. */
  readonly refused: BatchRef[]
}

export class Evidence {
  readonly policy: Policy
  readonly #signer: Signer
  readonly #tips: Tips
  readonly #metrics: EvidenceMetrics | undefined
  readonly #spans: SelectedSpans
  readonly #proofs = new ProofWriter()
  readonly #streams = new Map<string, Stream>()
  #pendingCount = 0
  #probedAtNs = 0n
  #isShut = false

  /** Throws CONFIG when the boot id has not 16 bytes. */
  constructor(options: EvidenceOptions, tips: Tips, metrics?: EvidenceMetrics) {
    const { instanceId, bootId, knownKeys } = options
    if (bootId.length !== 16) throw new SidecarError('CONFIG', 'boot id must have 16 bytes')
    this.policy = new Policy(options.policy)
    this.#signer = { instanceId, bootId, policyId: this.policy.id }
    this.#tips = tips
    this.#metrics = metrics
    const checker = knownKeys === undefined ? undefined : new SpanChecker(knownKeys, this.policy.rules)
    this.#spans = new SelectedSpans(this.policy, checker)
  }

  /** Tenants that have signed in this boot: the streams that heartbeats and a shutdown are for. */
  get tenants(): string[] {
    return [...this.#streams.keys()]
  }

  /** Statements of failed commits that wait to be handed out again. */
  get pendingCount(): number {
    return this.#pendingCount
  }

  /**
   * Signs the selected spans of an encoded ExportTraceServiceRequest. `tenants[i]` is the tenant of its i-th resource
   * group. Throws MALFORMED or TOO_DEEP for bytes that are no request, STORE_FAILED while too much waits for the store.
   */
  sign(
    body: Uint8Array,
    tenants: readonly string[],
    keys: ReadonlyMap<string, SigningKey>,
    nowNs: bigint,
  ): Signed {
    if (this.#isShut) throw new SidecarError('SHUTTING_DOWN', 'evidence is shut down')
    const spans = this.#spans
    spans.find(body, tenants, keys)
    const { keptCount, forgedCount, batches } = spans
    const outside = { keptCount, forgedCount }
    if (spans.missing.length > 0) {
      return { body, signedCount: 0, statements: [], refs: [], missing: [...spans.missing], ...outside }
    }
    if (batches.length > 0) this.#refuseWhileStoreFails(nowNs)
    const isMac = this.policy.options.algorithm === 'hmac-sha256'
    const statements: StatementRecord[] = []
    const refs: BatchRef[] = []
    const signedCount = isMac ? this.#signSpans(batches, nowNs) : 0
    const treeCount = isMac ? 0 : this.#signTrees(batches, keys, nowNs, statements, refs)
    const signed = splice(body, spans.edits)
    this.#metrics?.signed(signedCount + treeCount, keptCount, forgedCount, statements.length)
    return { body: signed, signedCount: signedCount + treeCount, statements, refs, missing: [], ...outside }
  }

  /**
   * Call when the commit of these statements failed. They are handed out again with what their streams sign next, and
   * their spans get tombstones, since the client was not told OK.
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

  /** What waits of failed commits, with tombstones; for a commit of its own. Nothing waits: nothing is returned. */
  flush(keys: ReadonlyMap<string, SigningKey>, nowNs: bigint): Emitted {
    const tenants = this.tenants.filter((tenant) => (this.#streams.get(tenant)?.pending.length ?? 0) > 0)
    return this.#emit(tenants, keys, nowNs, () => undefined)
  }

  /** Signs that leaves of earlier batches will not arrive. With a key missing nothing is signed for its tenant. */
  tombstone(
    refs: readonly BatchRef[],
    reason: GiveUpReason,
    keys: ReadonlyMap<string, SigningKey>,
    nowNs: bigint,
  ): Emitted {
    const tenants = [...new Set(refs.map((ref) => ref.tenant))]
    return this.#emit(tenants, keys, nowNs, (chain, key, statements) => {
      for (const ref of refs) {
        if (ref.tenant === chain.tenant)
          statements.push(buryBatch(chain, ref, REASONS[reason], key, nowNs).record)
      }
    })
  }

  /** An empty statement for every stream, so that silence and loss differ. */
  heartbeat(keys: ReadonlyMap<string, SigningKey>, nowNs: bigint): Emitted {
    return this.#emit(this.tenants, keys, nowNs, (chain, key, statements) => {
      statements.push(chain.append({ kind: Kind.HEARTBEAT }, key, nowNs).record)
    })
  }

  /** The last statement of every stream. Nothing can be signed afterwards. */
  shutdown(keys: ReadonlyMap<string, SigningKey>, nowNs: bigint): Emitted {
    const emitted = this.#emit(this.tenants, keys, nowNs, (chain, key, statements) => {
      statements.push(chain.append({ kind: Kind.SHUTDOWN }, key, nowNs).record)
    })
    this.#isShut = true
    return emitted
  }

  /** One signature per span (proto/evidence.md §7). Returns how many. */
  #signSpans(batches: readonly Batch[], nowNs: bigint): number {
    let count = 0
    for (const { key, tree, marks } of batches) {
      for (let i = 0; i < tree.leafCount; i++) {
        const mac = spanMac(key.privateKey, key.keyId, nowNs, tree.leaf(i))
        this.#spans.edits.fill(marks[i], signatureAttributes(mac, 'hmac-sha256', nowNs, key.keyId))
      }
      count += tree.leafCount
    }
    return count
  }

  /** One statement per tree, and its proof in every span. All streams move, or none does. Returns the span count. */
  #signTrees(
    batches: readonly Batch[],
    keys: ReadonlyMap<string, SigningKey>,
    nowNs: bigint,
    statements: StatementRecord[],
    refs: BatchRef[],
  ): number {
    const tenants = new Set(batches.map((batch) => batch.tenant))
    if (this.#pendingCount > 0)
      for (const tenant of keys.keys()) if (this.#isPending(tenant)) tenants.add(tenant)
    if (tenants.size === 0) return 0
    const byTenant = new Map(batches.map((batch) => [batch.tenant, batch]))
    let count = 0
    const emitted = this.#emit([...tenants], keys, nowNs, (chain, key, records) => {
      const batch = byTenant.get(chain.tenant)
      if (batch === undefined) return
      const chained = this.#signTree(batch, chain, key, nowNs)
      const { leafCount } = batch.tree
      count += leafCount
      records.push(chained.record)
      refs.push({ tenant: chain.tenant, bootId: this.#signer.bootId, number: chained.number, leafCount })
    })
    statements.push(...emitted.statements)
    return count
  }

  #signTree(batch: Batch, chain: Chain, key: SigningKey, nowNs: bigint): ChainedStatement {
    const { tree, marks } = batch
    const { coverage, options } = this.policy
    const draft = { kind: Kind.BATCH, leafCount: tree.leafCount, root: tree.close() }
    const chained = chain.append(isDefaultCoverage(coverage) ? draft : { ...draft, coverage }, key, nowNs)
    const isInline = options.proof === 'inline'
    if (isInline) tree.encode()
    const shared = signatureAttributes(chained.signature, options.algorithm, nowNs, key.keyId)
    this.#proofs.begin(shared, chained.statement)
    for (let i = 0; i < tree.leafCount; i++) {
      const bytes = this.#proofs.write(i, pathLength(i, tree.leafCount), isInline ? tree : undefined)
      this.#spans.edits.fillFrom(marks[i], this.#proofs.bytes, 0, bytes)
    }
    return chained
  }

  /**
   * For each tenant whose key is given: its boot if it has none, what waits of failed commits, then what `add` signs,
   * and its new tip. If anything throws, no stream has moved.
   */
  #emit(
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
        statements.push(...stream.pending)
        if (!chain.isBooted) statements.push(chain.append({ kind: Kind.BOOT }, key, nowNs).record)
        const before = chain.last
        for (const ref of stream.refused)
          statements.push(buryBatch(chain, ref, Reason.NOT_STORED, key, nowNs).record)
        add(chain, key, statements)
        // A tip that older statements are handed out behind must not move backwards.
        const { last } = chain
        if (last !== undefined && (last !== before || isAmong(statements, last))) {
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

  #settle(stream: Stream): void {
    this.#streams.set(stream.chain.tenant, stream)
    this.#pendingCount -= stream.pending.length
    stream.pending.length = 0
    stream.refused.length = 0
  }

  #streamOf(tenant: string): Stream {
    const stream = this.#streams.get(tenant)
    if (stream !== undefined) return stream
    if (this.#streams.size >= TENANTS_MAX) throw new SidecarError('TENANT_DENIED', 'too many tenants')
    return { chain: new Chain(this.#signer, tenant, this.#tips(tenant)), pending: [], refused: [] }
  }

  #isPending(tenant: string): boolean {
    return (this.#streams.get(tenant)?.pending.length ?? 0) > 0
  }

  #refuseWhileStoreFails(nowNs: bigint): void {
    if (this.#pendingCount < PENDING_STATEMENTS_MAX) return
    const sinceNs = nowNs - this.#probedAtNs
    if (sinceNs >= 0n && sinceNs < PROBE_NS) {
      throw new SidecarError('STORE_FAILED', 'too many statements wait for the store', {
        retryAfterMs: 5_000,
      })
    }
    this.#probedAtNs = nowNs
  }
}

function batchId(tenant: string, bootId: Uint8Array, number: number): string {
  return `${Buffer.from(bootId).toString('hex')} ${number} ${tenant}`
}

function isAmong(records: readonly StatementRecord[], wanted: StatementRecord): boolean {
  return records.some((record) => Buffer.compare(record.key, wanted.key) === 0)
}

/** A tombstone for all leaves of a batch. */
function buryBatch(
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
