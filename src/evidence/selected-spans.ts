// Finds the spans of a request that are to be signed: one scan, in which each selected span becomes a leaf in its
// tenant's tree and a reserved mark at its end, where the signature goes once the tree is known.
import { EVIDENCE_WORK } from '../base/limits.ts'
import { Work } from '../base/work.ts'
import { Edits } from '../wire/edits.ts'
import { CanonicalForm } from './canonical.ts'
import type { SigningKey } from './chain.ts'
import type { SpanChecker } from './check.ts'
import { MerkleTree } from './merkle.ts'
import type { Policy } from './policy.ts'
import { Selection } from './selection.ts'
import { type SpanContext, type SpanHandler, SpanWalk } from './span-walk.ts'

/** The selected spans of one tenant in one request. */
export interface Batch {
  readonly tenant: string
  readonly tree: MerkleTree
  /** Reserved edit of each leaf. */
  readonly marks: number[]
}

export class SelectedSpans implements SpanHandler {
  readonly edits = new Edits()
  readonly batches: Batch[] = []
  /** Spans whose signature from outside was good and stays. */
  keptCount = 0
  /** Spans whose signature from outside was not, and was removed. */
  forgedCount = 0
  /** What the request has cost so far. */
  readonly work = new Work(EVIDENCE_WORK)
  readonly #walk = new SpanWalk(this)
  readonly #selection: Selection
  readonly #checker: SpanChecker | undefined
  readonly #form: CanonicalForm
  readonly #trees: MerkleTree[] = []
  readonly #byTenant = new Map<string, Batch>()
  #tenants: readonly string[] = []
  #tenant = ''
  /** That of the present resource group's tenant, once it is known. */
  #batch: Batch | undefined

  constructor(policy: Policy, checker: SpanChecker | undefined) {
    this.#selection = new Selection(policy)
    this.#checker = checker
    this.#form = new CanonicalForm(policy.rules)
  }

  /** Scans a request. Everything public is about that request until the next call. Throws MALFORMED, TOO_DEEP or TOO_LARGE. */
  find(body: Uint8Array, tenants: readonly string[]): void {
    this.#begin(body, tenants)
    this.#walk.run(body, this.edits)
  }

  /** As `find`; nobody else may use this instance until what was found is signed. */
  *findInSlices(body: Uint8Array, tenants: readonly string[]): Generator<void, void> {
    this.#begin(body, tenants)
    yield* this.#walk.runInSlices(body, this.edits)
  }

  /** Tenants whose key is needed and is not among these. */
  missing(keys: ReadonlyMap<string, SigningKey>): string[] {
    return this.batches.flatMap(({ tenant }) => (keys.has(tenant) ? [] : [tenant]))
  }

  #begin(body: Uint8Array, tenants: readonly string[]): void {
    this.#tenants = tenants
    this.#byTenant.clear()
    this.batches.length = 0
    this.keptCount = 0
    this.forgedCount = 0
    this.work.begin(body.length)
  }

  resource(span: SpanContext, groupIndex: number): void {
    this.#tenant = this.#tenants[groupIndex]
    this.#batch = undefined
    this.work.look(span.resourceEnd - span.resourceStart)
    this.#selection.resource(span)
  }

  scope(span: SpanContext): void {
    this.work.look(span.scopeEnd - span.scopeStart)
    this.#selection.scope(span)
  }

  span(span: SpanContext, end: number): void {
    const { parts } = span
    if (parts.signatureFields.count > 0 && this.#keepsSignature(span)) return
    if (!this.#selection.selects(span)) return
    this.#batch ??= this.#byTenant.get(this.#tenant) ?? this.#openBatch(this.#tenant)
    const batch = this.#batch
    const before = this.#form.bytesLookedAt
    batch.tree.add(this.#form.leaf(span))
    this.work.look(this.#form.bytesLookedAt - before)
    batch.marks.push(this.edits.reserve(end, end))
  }

  /** A signature from outside stays if it is good; otherwise it is removed and counted. */
  #keepsSignature(span: SpanContext): boolean {
    const before = this.#checker?.bytesLookedAt ?? 0
    const verdict = this.#checker?.check(span, this.#tenant).verdict
    this.work.look((this.#checker?.bytesLookedAt ?? 0) - before)
    if (verdict === 'valid') {
      this.keptCount++
      return true
    }
    this.forgedCount++
    const { signatureFields } = span.parts
    for (let i = 0; i < signatureFields.count; i++) {
      this.edits.remove(signatureFields.start(i), signatureFields.end(i))
    }
    return false
  }

  #openBatch(tenant: string): Batch {
    const ordinal = this.batches.length
    this.#trees[ordinal] ??= new MerkleTree()
    const tree = this.#trees[ordinal]
    tree.reset()
    const batch = { tenant, tree, marks: [] }
    this.batches.push(batch)
    this.#byTenant.set(tenant, batch)
    return batch
  }
}
