// The verifier: one implementation for the command, the library and HTTP. No network, no key service. It takes OTLP
// traces as protobuf and public keys, and says of each span what proto/evidence.md §6 says, and of the whole whether
// it is good. What is missing of a batch is told, not judged: a file may hold a part of it.
import { EVIDENCE_WORK } from '../base/limits.ts'
import { Work } from '../base/work.ts'
import { type KeyEndorsement, type KeyLookup, type SpanCheck, SpanChecker, type Verdict } from './check.ts'
import { Policy, type PolicyOptions } from './policy.ts'
import { Selection } from './selection.ts'
import { type SpanContext, SpanWalk } from './span-walk.ts'
import type { Coverage, Statement } from './statement.ts'

export type { KeyEndorsement, KeyLookup, Verdict, VerifyingKey } from './check.ts'

export interface VerifyOptions {
  readonly keys: KeyLookup
  /** Spans that this policy selects must be signed; `undefined`: no span must. */
  readonly expected?: PolicyOptions['select'] | undefined
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
}

const MISSING_RANGES_MAX = 100
const LOSSY =
  'differs from what was signed: changed, or not kept whole by where it comes from (ask a source that keeps all of it)'

interface SeenBatch {
  readonly statement: Statement
  /** Leaf indices seen; `undefined` once all were. */
  seen: Set<number> | undefined
}

/** Takes request after request; keeps counts and the batches seen, never spans. */
export class Verifier {
  // No methods of the class, or others could call them.
  readonly #walk = new SpanWalk({
    resource: (span) => {
      this.work.look(span.resourceEnd - span.resourceStart)
      this.#selection?.resource(span)
    },
    scope: (span) => {
      this.work.look(span.scopeEnd - span.scopeStart)
      this.#selection?.scope(span)
    },
    span: (span) => this.#judge(span),
  })
  readonly #keys: KeyLookup
  readonly #checker: SpanChecker
  readonly #selection: Selection | undefined
  readonly #counts = { valid: 0, tampered: 0, unsigned: 0, unknown_key: 0, bad_proof: 0 }
  readonly #batches = new Map<string, SeenBatch>()
  readonly #keyFacts = new Map<string, KeyFacts>()
  #missingSignatureCount = 0
  #repeatedCount = 0
  #undecidedCount = 0
  #verdicts: SpanVerdict[] = []
  #isLossy = false
  /** What the request in hand has cost so far. */
  readonly work = new Work(EVIDENCE_WORK)

  constructor({ keys, expected, macCoverage }: VerifyOptions) {
    this.#keys = keys
    this.#checker = new SpanChecker(keys, macCoverage)
    this.#selection = expected === undefined ? undefined : new Selection(new Policy({ select: expected }))
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
    const isBad = counts.tampered + badProofs + this.#missingSignatureCount > 0
    const isUnknown = counts.unknown_key + this.#undecidedCount > 0
    return {
      outcome: isBad ? 'bad' : isUnknown ? 'unknown' : 'good',
      spanCount: Object.values(counts).reduce((sum, count) => sum + count, 0),
      counts,
      missingSignatureCount: this.#missingSignatureCount,
      repeatedCount: this.#repeatedCount,
      batchCount: this.#batches.size,
      incomplete: [...this.#batches.values()].filter(({ seen }) => seen !== undefined).map(factsOf),
      keys: [...this.#keyFacts.values()],
    }
  }

  #judge(span: SpanContext): void {
    const before = this.#checker.bytesLookedAt
    const compared = this.#checker.check(span)
    const isUndecided = this.#isLossy && compared.verdict === 'tampered'
    const checked: SpanCheck = isUndecided ? { ...compared, verdict: 'bad_proof', reason: LOSSY } : compared
    this.work.look(this.#checker.bytesLookedAt - before)
    const isMissingSignature = checked.verdict === 'unsigned' && this.#selection?.selects(span) === true
    if (isMissingSignature) this.#missingSignatureCount++
    if (isUndecided) this.#undecidedCount++
    if (checked.verdict === 'valid' && checked.statement !== undefined) {
      this.#see(checked.statement, checked.index ?? 0)
    }
    const verdict = verdictOf(span, checked, isMissingSignature)
    this.#verdicts.push(isUndecided ? { ...verdict, isUndecided } : verdict)
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
    const endorsement = this.#keys(keyId, tenant, 'ed25519-merkle-v1')?.endorsement
    if (endorsement === undefined) return
    this.#keyFacts.set(JSON.stringify([keyId, tenant]), { keyId, tenant, endorsement })
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
