// The verifier: one implementation for the command, the library and HTTP. No network, no key service. It takes OTLP
// traces as protobuf and public keys, and says of each span what proto/evidence.md §6 says, and of the whole whether
// it is good. What is missing of a batch is told, not judged: a file may hold a part of it.
import { EVIDENCE_WORK } from '../base/limits.ts'
import { Work } from '../base/work.ts'
import { type KeyEndorsement, type KeyLookup, type SpanCheck, SpanChecker, type Verdict } from './check.ts'
import { type CoverageRequirement, coversNoAttribute, meetsRequirement } from './coverage-requirement.ts'
import { type Expected, ExpectedSignatures } from './expected-signatures.ts'
import { type SpanContext, SpanWalk } from './span-walk.ts'
import { type Coverage, DEFAULT_COVERAGE, isDefaultCoverage, type Statement } from './statement.ts'

export type { KeyEndorsement, KeyLookup, Verdict, VerifyingKey } from './check.ts'

export interface VerifyOptions {
  readonly keys: KeyLookup
  /** Which unsigned spans are a failure; `undefined`: none is. */
  readonly expected?: Expected | undefined
  /** What every good signature must cover; absent: whatever it covers is told, and nothing at all is not good. */
  readonly required?: CoverageRequirement | undefined
  /** The input is said to hold all spans of its batches, so that missing ones are a failure. */
  readonly isComplete?: boolean | undefined
  /** What signers of hmac-sha256 are configured to cover; the default coverage when absent. */
  readonly macCoverage?: Coverage | undefined
}

export interface SpanVerdict {
  readonly verdict: Verdict
  /** A constant phrase; empty when valid. */
  readonly reason: string
  /** Unsigned although the expected policy selects it. */
  readonly isMissingSignature: boolean
  /** The verdict would be `tampered`, but where the span comes from keeps less than was signed. */
  readonly isUndecided?: boolean
  /** Lower-case hex. */
  readonly traceId: string
  readonly spanId: string
  readonly name: string
  readonly keyId?: string
  readonly tenant?: string
  /** Number of the batch in its stream, and the span's leaf in it. */
  readonly batch?: number
  readonly index?: number
}

export interface BatchFacts {
  readonly tenant: string
  readonly instanceId: string
  /** Hex. */
  readonly bootId: string
  readonly number: number
  readonly leafCount: number
  readonly seenCount: number
  /** Leaf indices that are not among the spans seen, as [first, last]; at most MISSING_RANGES_MAX. */
  readonly missing: readonly (readonly [number, number])[]
}

export type Outcome = 'good' | 'bad' | 'unknown'

export interface VerifySummary {
  readonly outcome: Outcome
  readonly spanCount: number
  readonly counts: Readonly<Record<Verdict, number>>
  /** Unsigned spans that should have been signed; part of `counts.unsigned`. */
  readonly missingSignatureCount: number
  /** Unsigned spans of which nobody can say: their tenant's policy came after them. */
  readonly openSignatureCount: number
  /** Valid spans whose signature covers less than was required. */
  readonly uncoveredCount: number
  /** What the signatures of valid spans cover. */
  readonly coverages: readonly CoverageFacts[]
  /** Valid spans that were seen before, as after a repeated delivery. */
  readonly repeatedCount: number
  readonly batchCount: number
  /** Batches of which leaves were not seen. */
  readonly incomplete: readonly BatchFacts[]
  /** Those that signed the valid spans, where it is known who vouches for them. */
  readonly keys: readonly KeyFacts[]
}

export interface KeyFacts {
  readonly keyId: string
  readonly tenant: string
  readonly endorsement: KeyEndorsement
  /** Whether the reader trusts the key, or the first one of its chain, by other means than the list it stands in. */
  readonly isTrusted: boolean
}

export interface CoverageFacts extends Coverage {
  readonly isDefault: boolean
  readonly spanCount: number
}

const MISSING_RANGES_MAX = 100
/** Different coverages that are told one by one. */
const COVERAGES_MAX = 100
const LOSSY =
  'differs from what was signed: changed, or not kept whole by where it comes from (ask a source that keeps all of it)'

interface Covered {
  readonly coverage: Coverage
  readonly isEnough: boolean
  spanCount: number
}

interface SeenBatch {
  readonly statement: Statement
  /** Leaf indices seen; `undefined` once all were. */
  seen: Set<number> | undefined
}

/** Takes request after request; keeps counts and the batches seen, never spans. */
export class Verifier {
  // No methods of the class, or others could call them.
  readonly #walk = new SpanWalk({
    resource: (span) => this.work.look(span.resourceEnd - span.resourceStart),
    scope: (span) => this.work.look(span.scopeEnd - span.scopeStart),
    span: (span) => this.#judge(span),
  })
  readonly #keys: KeyLookup
  readonly #checker: SpanChecker
  readonly #expected: ExpectedSignatures
  readonly #required: CoverageRequirement | undefined
  readonly #isComplete: boolean
  readonly #macCoverage: Coverage
  readonly #counts = { valid: 0, tampered: 0, unsigned: 0, unknown_key: 0, bad_proof: 0 }
  readonly #batches = new Map<string, SeenBatch>()
  readonly #keyFacts = new Map<string, KeyFacts>()
  readonly #coverages = new Map<string, Covered>()
  #lastCovered: Covered | undefined
  #uncoveredCount = 0
  #missingSignatureCount = 0
  #repeatedCount = 0
  #undecidedCount = 0
  #verdicts: SpanVerdict[] = []
  #isLossy = false
  /** What the request in hand has cost so far. */
  readonly work = new Work(EVIDENCE_WORK)

  constructor({ keys, expected, macCoverage, required, isComplete = false }: VerifyOptions) {
    this.#keys = keys
    this.#checker = new SpanChecker(keys, macCoverage)
    this.#expected = new ExpectedSignatures(expected, (bytes) => this.work.look(bytes))
    this.#required = required
    this.#isComplete = isComplete
    this.#macCoverage = macCoverage ?? DEFAULT_COVERAGE
  }

  /**
   * The verdicts on an encoded ExportTraceServiceRequest, in order. Throws MALFORMED, TOO_DEEP or TOO_LARGE. `isLossy`: it
   * was made from what keeps less than was signed, so of a span that differs nothing can be told.
   */
  add(body: Uint8Array, isLossy = false): SpanVerdict[] {
    this.#verdicts = []
    this.#isLossy = isLossy
    this.work.begin(body.length)
    this.#walk.run(body)
    for (const { verdict } of this.#verdicts) this.#counts[verdict]++
    return this.#verdicts
  }

  summary(): VerifySummary {
    const counts = { ...this.#counts }
    const badProofs = counts.bad_proof - this.#undecidedCount
    const late = this.#expected.late
    const missingSignatureCount = this.#missingSignatureCount + late.missing
    const incomplete = [...this.#batches.values()].filter(({ seen }) => seen !== undefined)
    const keys = [...this.#keyFacts.values()]
    const coverages = [...this.#coverages.values()].map(({ coverage, spanCount }) => ({
      ...coverage,
      isDefault: isDefaultCoverage(coverage),
      spanCount,
    }))
    const isBad =
      counts.tampered + badProofs + missingSignatureCount + this.#uncoveredCount > 0 ||
      (this.#isComplete && incomplete.length > 0)
    const isUnknown =
      counts.unknown_key + this.#undecidedCount + late.open > 0 ||
      keys.some(({ isTrusted }) => !isTrusted) ||
      (this.#required === undefined && coverages.some(coversNoAttribute))
    return {
      outcome: isBad ? 'bad' : isUnknown ? 'unknown' : 'good',
      spanCount: Object.values(counts).reduce((sum, count) => sum + count, 0),
      counts,
      missingSignatureCount,
      openSignatureCount: late.open,
      uncoveredCount: this.#uncoveredCount,
      coverages,
      repeatedCount: this.#repeatedCount,
      batchCount: this.#batches.size,
      incomplete: incomplete.map(factsOf),
      keys,
    }
  }

  #judge(span: SpanContext): void {
    const before = this.#checker.bytesLookedAt
    const compared = this.#checker.check(span)
    const isUndecided = this.#isLossy && compared.verdict === 'tampered'
    const checked: SpanCheck = isUndecided ? { ...compared, verdict: 'bad_proof', reason: LOSSY } : compared
    this.work.look(this.#checker.bytesLookedAt - before)
    const isMissingSignature =
      checked.verdict === 'unsigned' &&
      this.#expected.isExpected(span, () => {
        const lookedAt = this.#checker.bytesLookedAt
        const known = this.#checker.resourcePolicy(span)
        this.work.look(this.#checker.bytesLookedAt - lookedAt)
        return known
      })
    if (isMissingSignature) this.#missingSignatureCount++
    if (isUndecided) this.#undecidedCount++
    if (checked.verdict === 'valid') this.#seeValid(checked)
    const verdict = verdictOf(span, checked, isMissingSignature)
    this.#verdicts.push(isUndecided ? { ...verdict, isUndecided } : verdict)
  }

  #seeValid({ statement, policy, index = 0 }: SpanCheck): void {
    const coverage = statement === undefined ? this.#macCoverage : (statement.coverage ?? DEFAULT_COVERAGE)
    this.#cover(coverage)
    if (statement === undefined) return
    if (policy !== undefined) this.#expected.learn(statement.tenant, policy)
    this.#see(statement, index)
  }

  #cover(coverage: Coverage): void {
    // Spans of one batch have one coverage, and mostly stand together.
    if (this.#lastCovered?.coverage !== coverage) this.#lastCovered = this.#coveredBy(coverage)
    this.#lastCovered.spanCount++
    if (!this.#lastCovered.isEnough) this.#uncoveredCount++
  }

  #coveredBy(coverage: Coverage): Covered {
    const id = JSON.stringify(coverage)
    const known = this.#coverages.get(id)
    const isEnough = this.#required === undefined || meetsRequirement(coverage, this.#required)
    const covered = known ?? { coverage, isEnough, spanCount: 0 }
    if (known === undefined && this.#coverages.size < COVERAGES_MAX) this.#coverages.set(id, covered)
    return covered
  }

  #see(statement: Statement, index: number): void {
    const { tenant, instanceId, bootId, number, root = [] } = statement
    const id = JSON.stringify([tenant, instanceId, hex(bootId), number, hex(root)])
    let batch = this.#batches.get(id)
    if (batch === undefined) {
      batch = { statement, seen: new Set() }
      this.#batches.set(id, batch)
      this.#noteKey(statement)
    }
    if (batch.seen === undefined || batch.seen.has(index)) {
      this.#repeatedCount++
      return
    }
    batch.seen.add(index)
    if (batch.seen.size === statement.leafCount) batch.seen = undefined
  }

  #noteKey({ keyId, tenant }: Statement): void {
    const key = this.#keys(keyId, tenant, 'ed25519-merkle-v1')
    if (key?.endorsement === undefined) return
    const { endorsement, isPinned: isTrusted = true } = key
    this.#keyFacts.set(JSON.stringify([keyId, tenant]), { keyId, tenant, endorsement, isTrusted })
  }
}

/** One request at once. Throws as `Verifier.add` does. */
export function verifyTraces(
  body: Uint8Array,
  options: VerifyOptions,
): { readonly spans: readonly SpanVerdict[]; readonly summary: VerifySummary } {
  const verifier = new Verifier(options)
  const spans = verifier.add(body)
  return { spans, summary: verifier.summary() }
}

function verdictOf(span: SpanContext, checked: SpanCheck, isMissingSignature: boolean): SpanVerdict {
  const { parts } = span
  const { verdict, reason, keyId, statement, index } = checked
  const text = (start: number, end: number, encoding: 'hex' | 'utf8'): string =>
    Buffer.from(span.buf.buffer, span.buf.byteOffset + start, end - start).toString(encoding)
  return {
    verdict,
    reason: isMissingSignature ? 'should be signed and is not' : reason,
    isMissingSignature,
    traceId: text(parts.traceIdStart, parts.traceIdEnd, 'hex'),
    spanId: text(parts.spanIdStart, parts.spanIdEnd, 'hex'),
    name: text(parts.nameStart, parts.nameEnd, 'utf8'),
    ...(keyId === undefined ? {} : { keyId }),
    ...(statement === undefined ? {} : { tenant: statement.tenant, batch: statement.number }),
    ...(index === undefined ? {} : { index }),
  }
}

function factsOf({ statement, seen = new Set() }: SeenBatch): BatchFacts {
  const { tenant, instanceId, bootId, number, leafCount = 0 } = statement
  const missing: [number, number][] = []
  // From one index seen to the next: a leaf count is what a signer says, and no number of steps to take.
  let next = 0
  for (const index of [...[...seen].sort((a, b) => a - b), leafCount]) {
    if (missing.length === MISSING_RANGES_MAX) break
    if (index > next) missing.push([next, index - 1])
    next = index + 1
  }
  return { tenant, instanceId, bootId: hex(bootId), number, leafCount, seenCount: seen.size, missing }
}

function hex(bytes: Uint8Array | readonly number[]): string {
  return Buffer.from(bytes).toString('hex')
}
