// What the pipeline holds: signs the selected spans of a request, and the statements that no spans go with.
import { SidecarError } from '../base/errors.ts'
import { TENANTS_MAX } from '../base/limits.ts'
import { inOneGo, type Slices } from '../base/turns.ts'
import { STATEMENT_KEY_PREFIX } from '../formats/signature-keys.ts'
import type { Edits } from '../wire/edits.ts'
import { spliceInSlices } from '../wire/splice.ts'
import { messageField, stringAttribute } from '../wire/write.ts'
import type { Chain, ChainedStatement, SigningKey, StatementRecord } from './chain.ts'
import { type KeyLookup, SpanChecker } from './check.ts'
import { formatResourceStatement, ROW_NODES_MAX, statementId } from './compact-proof.ts'
import { NODE_CHARS, pathLength, rowHeight } from './merkle.ts'
import type { EvidenceMetrics } from './metrics.ts'
import { Policy, type PolicyOptions } from './policy.ts'
import { ProofWriter, SignatureKey, signatureAttributes, toBase64url } from './proof.ts'
import type { BatchRef } from './refs.ts'
import { type Batch, SelectedSpans } from './selected-spans.ts'
import { spanMac } from './span-mac.ts'
import { isDefaultCoverage, Kind, Reason } from './statement.ts'
import { StatementOrder } from './statement-order.ts'
import { type Emitted, Streams, type Tips, tombstoneFor } from './streams.ts'

export type { SigningKey, StatementRecord } from './chain.ts'
export type { KeyLookup, VerifyingKey } from './check.ts'
export type { BatchRef } from './refs.ts'
export type { Emitted, Tips } from './streams.ts'

export interface EvidenceOptions {
  readonly policy?: Partial<PolicyOptions>
  /** Names this sidecar; UTF-8. */
  readonly instanceId: string
  /** 16 bytes, new for each start; UUID version 7, so that boots are stored in order. */
  readonly bootId: Uint8Array
  /** Tenants that this process serves. */
  readonly tenantsMax?: number
  /** Keys whose signatures on incoming spans are left alone. Absent: every incoming signature is removed. */
  readonly knownKeys?: KeyLookup
}

/** Of a large request; only `Evidence` looks into it. */
export type FoundSpans = Pick<SelectedSpans, 'batches' | 'edits' | 'forgedCount' | 'keptCount' | 'missing'>

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

/** Fields of ResourceSpans and Resource. */
const RESOURCE = 1
const RESOURCE_ATTRIBUTES = 1
const NOTHING = new Uint8Array(0)
/** Whose proofs are written between two yields: half a millisecond. */
const SPANS_PER_SLICE = 256

/** What stands in the streams, of one request. */
interface SignedTrees {
  readonly statements: readonly StatementRecord[]
  readonly refs: readonly BatchRef[]
  readonly chainedByTenant: ReadonlyMap<string, ChainedStatement>
}

const NO_TREES: SignedTrees = { statements: [], refs: [], chainedByTenant: new Map() }

export type GiveUpReason = 'not_stored' | 'dead_letter' | 'dropped'

const REASONS = {
  not_stored: Reason.NOT_STORED,
  dead_letter: Reason.DEAD_LETTER,
  dropped: Reason.DROPPED,
} as const satisfies Record<GiveUpReason, Reason>

export class Evidence {
  readonly policy: Policy
  /** Whoever calls what makes statements asks it first. */
  readonly order = new StatementOrder()
  readonly #bootId: Uint8Array
  readonly #metrics: EvidenceMetrics | undefined
  readonly #newSpans: () => SelectedSpans
  /** For requests that are signed in one go. */
  readonly #spans: SelectedSpans
  readonly #proofs = new ProofWriter()
  readonly #streams: Streams
  #isShut = false

  /** Throws CONFIG when the boot id has not 16 bytes. */
  constructor(options: EvidenceOptions, tips: Tips, metrics?: EvidenceMetrics) {
    const { instanceId, bootId, knownKeys, tenantsMax = TENANTS_MAX } = options
    if (bootId.length !== 16) throw new SidecarError('CONFIG', 'boot id must have 16 bytes')
    this.policy = new Policy(options.policy)
    this.#bootId = bootId
    this.#streams = new Streams({ instanceId, bootId, policyId: this.policy.id }, tips, tenantsMax)
    this.#metrics = metrics
    this.#newSpans = () =>
      new SelectedSpans(this.policy, knownKeys && new SpanChecker(knownKeys, this.policy.coverage))
    this.#spans = this.#newSpans()
  }

  /** Tenants that have signed in this boot: the streams that heartbeats and a shutdown are for. */
  get tenants(): string[] {
    return this.#streams.tenants
  }

  /** Statements of failed commits that wait to be handed out again. */
  get pendingCount(): number {
    return this.#streams.pendingCount
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
    this.#spans.find(body, tenants)
    return inOneGo(this.signFound(this.#spans, body, keys, nowNs, this.#proofs))
  }

  /**
   * The first half of `sign` for a large request: between two slices others have their turn. What it returns is for
   * `signFound`, with the keys of that moment; it may be given again when keys were missing.
   */
  *find(body: Uint8Array, tenants: readonly string[]): Generator<void, FoundSpans> {
    const spans = this.#newSpans()
    yield* spans.findInSlices(body, tenants)
    return spans
  }

  /**
   * The second half. What is signed first must be stored first: nothing else may sign between its first step and the
   * append of its statements (`StatementOrder`). Left before its end, its statements count as those of a failed commit.
   */
  *signFound(
    spans: FoundSpans,
    body: Uint8Array,
    keys: ReadonlyMap<string, SigningKey>,
    nowNs: bigint,
    proofs = new ProofWriter(),
  ): Slices<Signed> {
    if (this.#isShut) throw new SidecarError('SHUTTING_DOWN', 'evidence is shut down')
    const { keptCount, forgedCount, batches } = spans
    const outside = { keptCount, forgedCount }
    const missing = spans.missing(keys)
    if (missing.length > 0) {
      return { body, signedCount: 0, statements: [], refs: [], missing, ...outside }
    }
    if (batches.length > 0) this.#streams.refuseWhileStoreFails(nowNs)
    const isMac = this.policy.options.algorithm === 'hmac-sha256'
    const trees = isMac ? NO_TREES : this.#signTrees(spans, keys, nowNs)
    const { statements, refs } = trees
    let signed: Uint8Array | undefined
    try {
      if (isMac) yield* this.#signSpans(spans, keys, nowNs)
      else yield* this.#writeProofs(spans, trees, keys, nowNs, proofs)
      signed = yield* spliceInSlices(body, spans.edits)
    } finally {
      // Only by a bug, or since nobody waits any more; the statements are signed by then and must not be lost.
      if (signed === undefined) this.failed(statements)
    }
    const signedCount = batches.reduce((sum, { tree }) => sum + tree.leafCount, 0)
    this.#metrics?.signed(signedCount, keptCount, forgedCount, statements.length)
    return { body: signed, signedCount, statements, refs, missing: [], ...outside }
  }

  /**
   * Call when the commit of these statements failed. They are handed out again with what their streams sign next, and
   * their spans get tombstones, since the client was not told OK.
   */
  failed(statements: readonly StatementRecord[]): void {
    this.#streams.failed(statements)
  }

  /** What waits of failed commits, with tombstones; for a commit of its own. Nothing waits: nothing is returned. */
  flush(keys: ReadonlyMap<string, SigningKey>, nowNs: bigint): Emitted {
    return this.#streams.emit(this.#streams.pendingTenants, keys, nowNs, () => undefined)
  }

  /** Signs that leaves of earlier batches will not arrive. With a key missing nothing is signed for its tenant. */
  tombstone(
    refs: readonly BatchRef[],
    reason: GiveUpReason,
    keys: ReadonlyMap<string, SigningKey>,
    nowNs: bigint,
  ): Emitted {
    const byTenant = Map.groupBy(refs, (ref) => ref.tenant)
    const emitted = this.#streams.emit([...byTenant.keys()], keys, nowNs, (chain, key, statements) => {
      for (const ref of byTenant.get(chain.tenant) ?? [])
        statements.push(tombstoneFor(chain, ref, REASONS[reason], key, nowNs).record)
    })
    this.#streams.used(byTenant.keys(), nowNs)
    return emitted
  }

  /** An empty statement for every stream, so that silence and loss differ. */
  heartbeat(keys: ReadonlyMap<string, SigningKey>, nowNs: bigint): Emitted {
    return this.#streams.emit(this.tenants, keys, nowNs, (chain, key, statements) => {
      statements.push(chain.append({ kind: Kind.HEARTBEAT }, key, nowNs).record)
    })
  }

  /** Whether a tenant has a stream. */
  isActive(tenant: string): boolean {
    return this.#streams.has(tenant)
  }

  /** At most so many tenants that have had nothing to sign since then, and whose statements are all in the store. */
  idleTenants(sinceNs: bigint, countMax: number): string[] {
    return this.#streams.idleTenants(sinceNs, countMax)
  }

  /** The last statement of streams until their tenants come back. When it is durable, `forget` the tenants. */
  end(tenants: readonly string[], keys: ReadonlyMap<string, SigningKey>, nowNs: bigint): Emitted {
    if (this.#isShut) return { statements: [], missing: [] }
    return this.#streams.end(tenants, keys, nowNs)
  }

  /** Lets go of streams that ended and have signed nothing since. What `tips` reads is where they go on. */
  forget(tenants: readonly string[]): void {
    this.#streams.forget(tenants)
  }

  /** The last statement of every stream. Nothing can be signed afterwards. */
  shutdown(keys: ReadonlyMap<string, SigningKey>, nowNs: bigint): Emitted {
    const emitted = this.#streams.end(this.tenants, keys, nowNs)
    this.#isShut = true
    return emitted
  }

  /** One signature per span (proto/evidence.md §7). */
  *#signSpans(
    { batches, edits }: FoundSpans,
    keys: ReadonlyMap<string, SigningKey>,
    nowNs: bigint,
  ): Slices<void> {
    for (const { tenant, tree, marks } of batches) {
      const key = keys.get(tenant)! // none is missing
      const facts = { keyId: key.keyId, timeNs: nowNs, tenant, coverage: this.policy.coverage }
      for (let i = 0; i < tree.leafCount; i++) {
        const mac = spanMac(key.privateKey, facts, tree.leaf(i))
        edits.fill(marks[i], signatureAttributes(mac, 'hmac-sha256', nowNs, key.keyId))
        if (i % SPANS_PER_SLICE === SPANS_PER_SLICE - 1) yield
      }
    }
  }

  /** One statement per tree. All streams move, or none does. */
  #signTrees({ batches }: FoundSpans, keys: ReadonlyMap<string, SigningKey>, nowNs: bigint): SignedTrees {
    const waiting = this.#streams.pendingTenants.filter((tenant) => keys.has(tenant))
    const tenants = new Set([...batches.map((batch) => batch.tenant), ...waiting])
    if (tenants.size === 0) return NO_TREES
    const refs: BatchRef[] = []
    const chainedByTenant = new Map<string, ChainedStatement>()
    const byTenant = new Map(batches.map((batch) => [batch.tenant, batch]))
    const { statements } = this.#streams.emit([...tenants], keys, nowNs, (chain, key, records) => {
      const batch = byTenant.get(chain.tenant)
      if (batch === undefined) return
      const chained = this.#signTree(batch, chain, key, nowNs)
      chainedByTenant.set(chain.tenant, chained)
      records.push(chained.record)
      const { leafCount } = batch.tree
      refs.push({ tenant: chain.tenant, bootId: this.#bootId, number: chained.number, leafCount })
    })
    this.#streams.used(tenants, nowNs)
    return { statements, refs, chainedByTenant }
  }

  #signTree({ tree }: Batch, chain: Chain, key: SigningKey, nowNs: bigint): ChainedStatement {
    const { coverage } = this.policy
    const draft = { kind: Kind.BATCH, leafCount: tree.leafCount, root: tree.close() }
    return chain.append(isDefaultCoverage(coverage) ? draft : { ...draft, coverage }, key, nowNs)
  }

  /** What leads from each span to its statement. */
  *#writeProofs(
    { batches, edits }: FoundSpans,
    { chainedByTenant }: SignedTrees,
    keys: ReadonlyMap<string, SigningKey>,
    nowNs: bigint,
    proofs: ProofWriter,
  ): Slices<void> {
    for (const batch of batches) {
      const chained = chainedByTenant.get(batch.tenant)! // each has its tree
      batch.tree.encode()
      if (this.policy.options.proof === 'compact') yield* this.#writeCompact(proofs, batch, edits, chained)
      else yield* this.#writeInline(proofs, batch, edits, chained, nowNs, keys.get(batch.tenant)!.keyId)
    }
  }

  *#writeInline(
    proofs: ProofWriter,
    batch: Batch,
    edits: Edits,
    { statement, signature }: ChainedStatement,
    nowNs: bigint,
    keyId: string,
  ): Slices<void> {
    const { algorithm } = this.policy.options
    proofs.begin({
      attributes: signatureAttributes(signature, algorithm, nowNs, keyId),
      key: SignatureKey.PROOF,
      before: 'v1.',
      after: `.${toBase64url(statement)}.${toBase64url(this.policy.document)}`,
    })
    yield* this.#writeSpans(proofs, batch, edits, 0, batch.tree.leafCount, Number.POSITIVE_INFINITY)
  }

  /** Statement and row go into each resource, the rest into its spans. */
  *#writeCompact(
    proofs: ProofWriter,
    batch: Batch,
    edits: Edits,
    { statement, signature }: ChainedStatement,
  ): Slices<void> {
    const { tree, resources } = batch
    const id = statementId(statement)
    const key = STATEMENT_KEY_PREFIX + id
    const head = formatResourceStatement({ statement, signature, policy: this.policy.document })
    proofs.begin({ attributes: NOTHING, key: SignatureKey.SIGNATURE, before: `v1.${id}.`, after: '' })
    for (const { firstLeaf, leafCount, mark, hasResource } of resources) {
      const height = rowHeight(tree.leafCount, Math.min(leafCount, ROW_NODES_MAX))
      const row = tree.rowText(height)
      const attribute = stringAttribute(
        RESOURCE_ATTRIBUTES,
        key,
        row.length > NODE_CHARS ? `${head}.${row}` : head,
      )
      edits.fill(mark, hasResource ? attribute : messageField(RESOURCE, attribute))
      yield* this.#writeSpans(proofs, batch, edits, firstLeaf, firstLeaf + leafCount, height)
    }
  }

  *#writeSpans(
    proofs: ProofWriter,
    { tree, marks }: Batch,
    edits: Edits,
    first: number,
    end: number,
    height: number,
  ): Slices<void> {
    for (let i = first; i < end; i++) {
      const bytes = proofs.write(tree, i, height, pathLength(i, tree.leafCount, height))
      edits.fillFrom(marks[i], proofs.bytes, 0, bytes)
      if (i % SPANS_PER_SLICE === SPANS_PER_SLICE - 1) yield
    }
  }
}
