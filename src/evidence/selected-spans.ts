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
  readonly key: SigningKey
  readonly tree: MerkleTree
  /** Reserved edit of each leaf. */
  readonly marks: number[]
}

export class SelectedSpans implements SpanHandler {
  readonly edits = new Edits()
  readonly batches: Batch[] = []
  /** Tenants that need a key and have none. */
  readonly missing: string[] = []
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
  readonly #byTenant = new Map<string, Batch | undefined>()
  #tenants: readonly string[] = []
  #keys: ReadonlyMap<string, SigningKey> = new Map()
  #tenant = ''
  #batch: Batch | undefined
  #isBatchKnown = false

  constructor(policy: Policy, checker: SpanChecker | undefined) {
    this.#selection = new Selection(policy)
    this.#checker = checker
    this.#form = new CanonicalForm(policy.rules)
  }

  /** Scans a request. Everything public is about that request until the next call. Throws MALFORMED or TOO_DEEP. */
  find(body: Uint8Array, tenants: readonly string[], keys: ReadonlyMap<string, SigningKey>): void {
    this.#tenants = tenants
    this.#keys = keys
    this.#byTenant.clear()
    this.batches.length = 0
    this.missing.length = 0
    this.keptCount = 0
    this.forgedCount = 0
    this.work.begin(body.length)
    this.#walk.run(body, this.edits)
  }

  resource(span: SpanContext, groupIndex: number): void {
    this.#tenant = this.#tenants[groupIndex]
    this.#isBatchKnown = false
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
    const batch = this.#batchOfGroup()
    if (batch === undefined) return
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

  /** The batch of the present resource group's tenant; `undefined` when its key is missing. */
  #batchOfGroup(): Batch | undefined {
    if (this.#isBatchKnown) return this.#batch
    if (!this.#byTenant.has(this.#tenant)) this.#byTenant.set(this.#tenant, this.#openBatch(this.#tenant))
    this.#batch = this.#byTenant.get(this.#tenant)
    this.#isBatchKnown = true
    return this.#batch
  }

  #openBatch(tenant: string): Batch | undefined {
    const key = this.#keys.get(tenant)
    if (key === undefined) {
      this.missing.push(tenant)
      return undefined
    }
    const ordinal = this.batches.length
    this.#trees[ordinal] ??= new MerkleTree()
    const tree = this.#trees[ordinal]
    tree.reset()
    const batch = { tenant, key, tree, marks: [] }
    this.batches.push(batch)
    return batch
  }
}
