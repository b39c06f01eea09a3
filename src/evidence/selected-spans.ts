// Finds the spans of a request that are to be signed: one scan, in which each selected span becomes a leaf in its
// tenant's tree and a reserved mark at its end, where the signature goes once the tree is known.
import { EVIDENCE_WORK } from '../base/limits.ts'
import { Work } from '../base/work.ts'
import { STATEMENT_KEY_PREFIX } from '../formats/signature-keys.ts'
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
  /** In the order of their leaves. */
  readonly resources: SignedResource[]
}

/** The leaves of one resource: `leafCount` from `firstLeaf` on. */
export interface SignedResource {
  readonly firstLeaf: number
  readonly leafCount: number
  /** Reserved edit, where what its spans share goes. */
  readonly mark: number
  /** Without one the edit stands in the ResourceSpans. */
  readonly hasResource: boolean
}

/** An attribute from outside that says to be a statement. It stays where it is unless its mark is filled with nothing. */
interface ForeignStatement {
  readonly id: string
  readonly mark: number
}

const NO_MARK = -1
const NOTHING = new Uint8Array(0)
const PREFIX_CHARS = STATEMENT_KEY_PREFIX.length

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
  #resourceMark = NO_MARK
  /** Leaves of the present tenant before this resource group. */
  #leavesBefore = 0
  /** Those of the present resource, and the ids of those that a kept signature needs. */
  readonly #foreign: ForeignStatement[] = []
  readonly #needed = new Set<string>()

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
    this.#resourceMark = NO_MARK
    this.#foreign.length = 0
    this.#needed.clear()
    this.work.look(span.resourceEnd - span.resourceStart)
    this.#selection.resource(span)
  }

  statement(buf: Uint8Array, fieldStart: number, end: number, keyStart: number, keyEnd: number): void {
    this.work.look(keyEnd - keyStart)
    const id = latin1(buf, keyStart + PREFIX_CHARS, keyEnd)
    this.#foreign.push({ id, mark: this.edits.reserve(fieldStart, end) })
  }

  resourceEnd(end: number): void {
    this.#resourceMark = this.edits.reserve(end, end)
  }

  /** What the spans share goes into their resource; what nobody needs of what came leaves it. */
  groupEnd(end: number): void {
    for (const { id, mark } of this.#foreign) if (!this.#needed.has(id)) this.edits.fill(mark, NOTHING)
    if (this.#batch === undefined) return
    const firstLeaf = this.#leavesBefore
    const hasResource = this.#resourceMark !== NO_MARK
    const mark = hasResource ? this.#resourceMark : this.edits.reserve(end, end)
    const leafCount = this.#batch.tree.leafCount - firstLeaf
    this.#batch.resources.push({ firstLeaf, leafCount, mark, hasResource })
  }

  scope(span: SpanContext): void {
    this.work.look(span.scopeEnd - span.scopeStart)
    this.#selection.scope(span)
  }

  span(span: SpanContext, end: number): void {
    const { parts } = span
    if (parts.signatureFields.count > 0 && this.#keepsSignature(span)) return
    if (!this.#selection.selects(span)) return
    this.#batch ??= this.#enterBatch()
    const batch = this.#batch
    const before = this.#form.bytesLookedAt
    batch.tree.add(this.#form.leaf(span))
    this.work.look(this.#form.bytesLookedAt - before)
    batch.marks.push(this.edits.reserve(end, end))
  }

  /** A signature from outside stays if it is good; otherwise it is removed and counted. */
  #keepsSignature(span: SpanContext): boolean {
    const before = this.#checker?.bytesLookedAt ?? 0
    const checked = this.#checker?.check(span, this.#tenant)
    this.work.look((this.#checker?.bytesLookedAt ?? 0) - before)
    if (checked?.verdict === 'valid') {
      this.keptCount++
      if (checked.statementId !== undefined) this.#needed.add(checked.statementId)
      return true
    }
    this.forgedCount++
    const { signatureFields } = span.parts
    for (let i = 0; i < signatureFields.count; i++) {
      this.edits.remove(signatureFields.start(i), signatureFields.end(i))
    }
    return false
  }

  #enterBatch(): Batch {
    const batch = this.#byTenant.get(this.#tenant) ?? this.#openBatch(this.#tenant)
    this.#leavesBefore = batch.tree.leafCount
    return batch
  }

  #openBatch(tenant: string): Batch {
    const ordinal = this.batches.length
    this.#trees[ordinal] ??= new MerkleTree()
    const tree = this.#trees[ordinal]
    tree.reset()
    const batch = { tenant, tree, marks: [], resources: [] }
    this.batches.push(batch)
    this.#byTenant.set(tenant, batch)
    return batch
  }
}

function latin1(buf: Uint8Array, start: number, end: number): string {
  return Buffer.from(buf.buffer, buf.byteOffset + start, end - start).toString('latin1')
}
