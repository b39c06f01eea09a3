// Finds the spans of a request that are to be signed: one scan, in which each selected span becomes a leaf in its
// tenant's tree and a reserved mark at its end, where the signature goes once the tree is known.
import { Edits } from '../wire/edits.ts'
import { Frame } from '../wire/otlp.ts'
import { scan, type Visitor } from '../wire/scan.ts'
import { CanonicalForm } from './canonical.ts'
import type { SigningKey } from './chain.ts'
import type { SpanChecker } from './check.ts'
import { Entries } from './entries.ts'
import { field, nextField } from './field.ts'
import { MerkleTree } from './merkle.ts'
import type { Policy } from './policy.ts'
import { type Ranges, SpanParts } from './span-parts.ts'

/** The selected spans of one tenant in one request. */
export interface Batch {
  readonly tenant: string
  readonly key: SigningKey
  readonly tree: MerkleTree
  /** Reserved edit of each leaf. */
  readonly marks: number[]
}

/** Tags of the attributes in Resource, InstrumentationScope, Event and Link. */
const RESOURCE_ATTRIBUTE = 0x0a
const SCOPE_ATTRIBUTE = 0x1a
const EVENT_ATTRIBUTE = 0x1a
const LINK_ATTRIBUTE = 0x22
/** Resource in ResourceSpans and InstrumentationScope in ScopeSpans. */
const GROUP_HEAD = 0x0a

export class SelectedSpans implements Visitor {
  readonly edits = new Edits()
  readonly batches: Batch[] = []
  /** Tenants that need a key and have none. */
  readonly missing: string[] = []
  /** Spans whose signature from outside was good and stays. */
  keptCount = 0
  /** Spans whose signature from outside was not, and was removed. */
  forgedCount = 0
  readonly #policy: Policy
  readonly #checker: SpanChecker | undefined
  readonly #form: CanonicalForm
  readonly #parts = new SpanParts()
  readonly #keys = new Entries()
  readonly #trees: MerkleTree[] = []
  readonly #byTenant = new Map<string, Batch | undefined>()
  #buf: Uint8Array = new Uint8Array(0)
  #tenants: readonly string[] = []
  #signingKeys: ReadonlyMap<string, SigningKey> = new Map()
  #groupIndex = -1
  #batch: Batch | undefined
  #isBatchKnown = false
  #resourceStart = 0
  #resourceEnd = 0
  #scopeStart = 0
  #scopeEnd = 0
  #isResourceSelecting = false
  #isScopeSelecting = false
  #isScopeWritten = false

  constructor(policy: Policy, checker: SpanChecker | undefined) {
    this.#policy = policy
    this.#checker = checker
    this.#form = new CanonicalForm(policy.rules)
  }

  /** Scans a request. Everything public is about that request until the next call. Throws MALFORMED or TOO_DEEP. */
  find(body: Uint8Array, tenants: readonly string[], keys: ReadonlyMap<string, SigningKey>): void {
    // A plain view, whatever the caller has, so that the loops below see one kind of array.
    this.#buf = new Uint8Array(body.buffer, body.byteOffset, body.length)
    this.#tenants = tenants
    this.#signingKeys = keys
    this.#groupIndex = -1
    this.#byTenant.clear()
    this.batches.length = 0
    this.missing.length = 0
    this.keptCount = 0
    this.forgedCount = 0
    scan(this.#buf, 'traces', this, this.edits)
  }

  enter(frame: Frame, start: number, end: number): void {
    if (frame === Frame.RESOURCE_GROUP) {
      this.#groupIndex++
      this.#isBatchKnown = false
      this.#resourceStart = this.#resourceEnd = 0
      if (findHead(this.#buf, start, end)) {
        this.#resourceStart = field.start
        this.#resourceEnd = field.end
      }
      this.#isResourceSelecting = this.#selectsByResource()
    } else if (frame === Frame.SCOPE_GROUP) {
      this.#scopeStart = this.#scopeEnd = 0
      if (findHead(this.#buf, start, end)) {
        this.#scopeStart = field.start
        this.#scopeEnd = field.end
      }
      this.#isScopeSelecting =
        !this.#policy.selectsAll && this.#selectsIn(this.#scopeStart, this.#scopeEnd, SCOPE_ATTRIBUTE)
      this.#isScopeWritten = false
    }
  }

  leave(frame: Frame, start: number, end: number): void {
    if (frame !== Frame.ITEM) return
    const parts = this.#parts
    parts.read(this.#buf, start, end)
    if (parts.signatureFields.count > 0 && this.#keepsSignature()) return
    if (!this.#isSelected()) return
    const batch = this.#batchOfGroup()
    if (batch === undefined) return
    if (!this.#isScopeWritten) {
      this.#form.scope(this.#buf, this.#resourceStart, this.#resourceEnd, this.#scopeStart, this.#scopeEnd)
      this.#isScopeWritten = true
    }
    batch.tree.add(this.#form.leaf(this.#buf, parts))
    batch.marks.push(this.edits.reserve(end, end))
  }

  text(): void {}

  attribute(): boolean {
    return true
  }

  scalar(): void {}

  attributeEnd(): void {}

  /** A signature from outside stays if it is good; otherwise it is removed and counted. */
  #keepsSignature(): boolean {
    const verdict = this.#checker?.check(
      this.#buf,
      this.#parts,
      this.#resourceStart,
      this.#resourceEnd,
      this.#scopeStart,
      this.#scopeEnd,
      this.#tenants[this.#groupIndex],
    )
    if (verdict?.verdict === 'valid') {
      this.keptCount++
      return true
    }
    this.forgedCount++
    const { signatureFields } = this.#parts
    for (let i = 0; i < signatureFields.count; i++) {
      this.edits.remove(signatureFields.start(i), signatureFields.end(i))
    }
    return false
  }

  #isSelected(): boolean {
    if (this.#policy.selectsAll || this.#isResourceSelecting || this.#isScopeSelecting) return true
    const { attributes, events, links } = this.#parts
    for (let i = 0; i < attributes.count; i++) {
      if (this.#policy.selects(this.#buf, attributes.keyStart(i), attributes.keyEnd(i))) return true
    }
    return this.#selectsInAll(events, EVENT_ATTRIBUTE) || this.#selectsInAll(links, LINK_ATTRIBUTE)
  }

  #selectsInAll(messages: Ranges, attributeTag: number): boolean {
    for (let i = 0; i < messages.count; i++) {
      if (this.#selectsIn(messages.start(i), messages.end(i), attributeTag)) return true
    }
    return false
  }

  #selectsIn(start: number, end: number, attributeTag: number): boolean {
    const keys = this.#keys
    keys.count = 0
    for (let pos = start; pos < end; ) {
      pos = nextField(this.#buf, pos, end)
      if (field.tag === attributeTag) keys.push(this.#buf, field.start, field.end)
    }
    for (let i = 0; i < keys.count; i++) {
      if (this.#policy.selects(this.#buf, keys.keyStart(i), keys.keyEnd(i))) return true
    }
    return false
  }

  #selectsByResource(): boolean {
    if (this.#policy.selectsAll) return true
    const keys = this.#keys
    keys.count = 0
    for (let pos = this.#resourceStart; pos < this.#resourceEnd; ) {
      pos = nextField(this.#buf, pos, this.#resourceEnd)
      if (field.tag === RESOURCE_ATTRIBUTE) keys.push(this.#buf, field.start, field.end)
    }
    for (let i = 0; i < keys.count; i++) {
      if (this.#policy.selectsResource(this.#buf, keys.keyStart(i), keys.keyEnd(i))) return true
    }
    return false
  }

  /** The batch of the present resource group's tenant; `undefined` when its key is missing. */
  #batchOfGroup(): Batch | undefined {
    if (this.#isBatchKnown) return this.#batch
    const tenant = this.#tenants[this.#groupIndex]
    if (!this.#byTenant.has(tenant)) this.#byTenant.set(tenant, this.#openBatch(tenant))
    this.#batch = this.#byTenant.get(tenant)
    this.#isBatchKnown = true
    return this.#batch
  }

  #openBatch(tenant: string): Batch | undefined {
    const key = this.#signingKeys.get(tenant)
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

/** Puts `field` on the group's Resource or InstrumentationScope, wherever it stands. */
function findHead(buf: Uint8Array, start: number, end: number): boolean {
  for (let pos = start; pos < end; ) {
    pos = nextField(buf, pos, end)
    if (field.tag === GROUP_HEAD) return true
  }
  return false
}
