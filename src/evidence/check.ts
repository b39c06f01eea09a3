// The verdict on one span (proto/evidence.md §6), for the verifier and for signatures that come in from outside. A
// statement and its signature are checked once per tree and remembered; a span then costs its leaf and its path.
import { type KeyObject, timingSafeEqual } from 'node:crypto'
import { verifyEd25519 } from '../formats/ed25519.ts'
import { CanonicalForm } from './canonical.ts'
import { parseReference, parseResourceStatement, statementId } from './compact-proof.ts'
import { heightOfRow, nodeFromPath, rootFromRow, rowHeight } from './merkle.ts'
import { compileCoverage, decodePolicy, type PolicyDocument } from './policy.ts'
import { fromBase64url, type Proof, parseProof } from './proof.ts'
import { ResourceFacts } from './resource-facts.ts'
import { referenceOf, type SignatureTexts, signatureTexts, TEXT_CHARS_MAX } from './signature-texts.ts'
import { spanMac } from './span-mac.ts'
import type { SpanContext } from './span-walk.ts'
import {
  type Coverage,
  DEFAULT_COVERAGE,
  decodeStatement,
  Kind,
  pae,
  STATEMENT_TYPE,
  type Statement,
  statementHash,
} from './statement.ts'

export type Verdict = 'valid' | 'tampered' | 'unsigned' | 'unknown_key' | 'bad_proof'

export interface SpanCheck {
  readonly verdict: Verdict
  /** A constant phrase; empty when valid. */
  readonly reason: string
  readonly keyId?: string
  /** The statement whose signature was good; absent for hmac-sha256 and before that point. */
  readonly statement?: Statement
  readonly index?: number
  /** The policy behind the statement. */
  readonly policy?: PolicyDocument
  /** Of the compact form: which of the resource's statements it needs. */
  readonly statementId?: string
}

/** A key as a verifier has it. What it is for comes from the key, never from the span. */
export interface VerifyingKey {
  readonly algorithm: 'ed25519-merkle-v1' | 'hmac-sha256'
  readonly key: KeyObject
  /** Whose it is, of a secret: its spans do not say. */
  readonly tenant?: string
  /** A revoked key vouches for nothing: its verdict is `unknown_key`. */
  readonly isRevoked?: boolean
  /** When it ended: what says to be later is not by it. */
  readonly notAfterMs?: number | undefined
  /** Who vouches for the key, by proto/key-endorsement.md §3; absent where nobody judged it. */
  readonly endorsement?: KeyEndorsement
  /** Of an endorsed key the first one that its chain leads to, else the key itself. */
  readonly rootKeyId?: string
  /** Whether that one is trusted by other means than the list it stands in. Absent: the caller's own lookup vouches. */
  readonly isPinned?: boolean
}

export type KeyEndorsement = 'first' | 'endorsed' | 'endorser_unknown' | 'endorser_revoked' | 'bad'

/** What makes a key one that is not known. A list may be cut short, so an endorser that is not in it is only told. */
const DISTRUST: ReadonlyMap<KeyEndorsement | undefined, string> = new Map([
  ['endorser_revoked', 'key was endorsed by a revoked key'],
  ['bad', 'endorsement of the key does not verify'],
])

/**
 * Finds a tenant's key by its id: a public key of whom the statement names, a secret of whose span it says to be, where it
 * says so. One id may have a public key and a secret.
 */
export type KeyLookup = (
  keyId: string,
  tenant: string | undefined,
  algorithm: VerifyingKey['algorithm'],
) => VerifyingKey | undefined

interface CheckedStatement {
  readonly statement: Statement | undefined
  readonly policy: PolicyDocument | undefined
  readonly form: CanonicalForm | undefined
  readonly failure: SpanCheck | undefined
}

interface Signed {
  readonly bytes: Uint8Array
  readonly signature: Uint8Array
  readonly policy: Uint8Array
}

/** What a resource has for the spans that refer to it, checked. */
type SharedStatement =
  | { readonly failure: SpanCheck }
  | {
      readonly failure: undefined
      readonly statement: Statement
      readonly policy: PolicyDocument
      readonly form: CanonicalForm
      readonly row: readonly Uint8Array[]
      readonly height: number
    }

/** Statements remembered at once; a file has one per request and tenant. */
const STATEMENTS_MAX = 1024
/** Characters of the texts that those are remembered by, all together. */
const STATEMENT_CHARS_MAX = 4 * 1024 * 1024
const NS_PER_MS = 1_000_000n
const NO_STATEMENT = 'resource has not, or not once, the statement that the span refers to'
const NO_KEY = 'no public key of this id and tenant'
const OTHER_TENANT = 'span is of another tenant than its signature'

export class SpanChecker {
  readonly #keys: KeyLookup
  readonly #statements = new Map<string, CheckedStatement>()
  #statementChars = 0
  readonly #shared = new Map<string, SharedStatement>()
  #sharedChars = 0
  readonly #forms = new Map<string, CanonicalForm>()
  readonly #macForm: CanonicalForm
  readonly #macCoverage: Coverage
  readonly #resource = new ResourceFacts()
  /** Bytes read, compared and hashed since the start, without what a signature's own texts take. */
  bytesLookedAt = 0

  /** `macCoverage` is the coverage that the signer of hmac-sha256 spans is configured with. */
  constructor(keys: KeyLookup, macCoverage = DEFAULT_COVERAGE) {
    this.#keys = keys
    this.#macCoverage = macCoverage
    this.#macForm = new CanonicalForm(compileCoverage(macCoverage))
  }

  /** `tenant` is whose span it should be, where that is known. */
  check(span: SpanContext, tenant?: string): SpanCheck {
    const { buf, parts } = span
    if (parts.signature.count === 0) return { verdict: 'unsigned', reason: 'no signature' }
    this.bytesLookedAt += this.#resource.read(span)
    const reference = referenceOf(buf, parts)
    if (reference !== undefined) return this.#checkCompact(span, reference, tenant)
    const texts = signatureTexts(buf, parts)
    if (texts === undefined) return badProof('signature attributes are not the ones expected, each once')
    const { algorithm, keyId } = texts
    if (algorithm === 'hmac-sha256') {
      return this.#checkMac(texts, span, tenant)
    }
    if (algorithm !== 'ed25519-merkle-v1') return { ...badProof('unknown algorithm'), ...idOf(keyId) }
    const proof = readProof(texts.proof)
    if (proof === undefined) return { ...badProof('proof is not canonical'), ...idOf(keyId) }
    const { statement, policy, form, failure } = this.#statementOf(texts, proof, tenant)
    if (failure !== undefined) return { ...failure, ...idOf(keyId) }
    if (statement === undefined || policy === undefined || form === undefined) return badProof('no statement')
    const found = { ...idOf(keyId), statement, policy, index: proof.index }
    const leaf = this.#leaf(form, span)
    const root = nodeFromPath(leaf, proof.index, statement.leafCount ?? 0, proof.path)
    if (root === undefined) return { ...badProof('path does not fit index and leaf count'), ...found }
    if (Buffer.compare(root, statement.root ?? leaf) !== 0) {
      return { verdict: 'tampered', reason: 'span differs from what was signed', ...found }
    }
    return { verdict: 'valid', reason: '', ...found }
  }

  /** The form in which the resource has what spans share (proto/evidence.md §5). */
  #checkCompact(span: SpanContext, text: string, tenant: string | undefined): SpanCheck {
    const reference = orUndefined(() => parseReference(text))
    if (reference === undefined) return badProof('proof is not canonical')
    const { statementId, index, path } = reference
    const shared = this.#sharedOf(statementId, tenant)
    if (shared.failure !== undefined) return shared.failure
    const { statement, policy, form, row, height } = shared
    const { keyId, leafCount = 0, root } = statement
    const found = { keyId, statement, policy, index, statementId }
    if (index >= leafCount) return { ...badProof('index is beyond the leaf count'), ...found }
    const leaf = this.#leaf(form, span)
    const node = nodeFromPath(leaf, index, leafCount, path, height)
    if (node === undefined) return { ...badProof('path does not fit index, leaf count and row'), ...found }
    const expected = row.length === 0 ? root : row[Math.floor(index / 2 ** height)]
    if (expected === undefined || Buffer.compare(node, expected) !== 0) {
      return { verdict: 'tampered', reason: 'span differs from what was signed', ...found }
    }
    return { verdict: 'valid', reason: '', ...found }
  }

  /** For a span without a signature: the policy of a good statement in its resource, and whose span the resource says it is. */
  resourcePolicy(span: SpanContext): {
    readonly policy: PolicyDocument | undefined
    readonly tenant: string
  } {
    this.bytesLookedAt += this.#resource.read(span)
    const { statements, tenant } = this.#resource
    for (const id of statements.keys()) {
      const shared = this.#sharedOf(id, undefined)
      if (shared.failure === undefined) return { policy: shared.policy, tenant: shared.statement.tenant }
    }
    return { policy: undefined, tenant }
  }

  #sharedOf(id: string, tenant: string | undefined): SharedStatement {
    const text = this.#resource.statements.get(id)
    if (text === undefined) return { failure: badProof(NO_STATEMENT) }
    if (text.length > TEXT_CHARS_MAX) return { failure: badProof('statement is not canonical') }
    const memory = JSON.stringify([id, text, tenant, this.#resource.tenant])
    const known = this.#shared.get(memory)
    if (known !== undefined) {
      const failure = known.failure === undefined ? this.#distrustNow(known.statement) : undefined
      return failure === undefined ? known : { failure }
    }
    const shared = this.#checkShared(id, text, tenant)
    if (shared.failure?.verdict === 'unknown_key') return shared
    if (this.#shared.size >= STATEMENTS_MAX || this.#sharedChars > STATEMENT_CHARS_MAX) {
      this.#shared.clear()
      this.#sharedChars = 0
    }
    this.#shared.set(memory, shared)
    this.#sharedChars += memory.length
    return shared
  }

  #checkShared(id: string, text: string, tenant: string | undefined): SharedStatement {
    const parsed = orUndefined(() => parseResourceStatement(text))
    if (parsed === undefined) return { failure: badProof('statement in the resource is not canonical') }
    const { statement: bytes, signature, policy: policyBytes, row } = parsed
    if (statementId(bytes) !== id) return { failure: badProof('statement goes by the name of another') }
    const { statement, policy, form, failure } = this.#checkSigned(
      readStatement(bytes),
      { bytes, signature, policy: policyBytes },
      tenant,
    )
    if (failure !== undefined || statement === undefined || policy === undefined || form === undefined)
      return { failure: failure ?? badProof('no statement') }
    const { leafCount = 0, root = bytes } = statement
    const height = row.length === 0 ? rowHeight(leafCount, 1) : heightOfRow(leafCount, row.length)
    const isWhole = height !== undefined && (row.length === 0 || Buffer.compare(rootFromRow(row), root) === 0)
    if (!isWhole) return { failure: badProof('row does not lead to the signed root') }
    return { statement, policy, form, row, height, failure: undefined }
  }

  /** Why a statement that was good counts no longer: its key may have been revoked since. */
  #distrustNow({ keyId, tenant, timeNs }: Statement): SpanCheck | undefined {
    const key = this.#keys(keyId, tenant, 'ed25519-merkle-v1')
    const distrust = key === undefined ? NO_KEY : distrustOf(key, timeNs)
    return distrust === undefined ? undefined : unknownKey(distrust)
  }

  /** Whether the span says, or is said, to be of another tenant than the one that a signature is of. */
  #isOfAnother(signed: string, tenant: string | undefined): boolean {
    const named = this.#resource.tenant
    return (named !== '' && named !== signed) || (tenant !== undefined && tenant !== signed)
  }

  /** The part of the verdict that all spans of a tree share. */
  #statementOf(texts: SignatureTexts, proof: Proof, tenant: string | undefined): CheckedStatement {
    const { proof: text = '', signature, timestamp, keyId } = texts
    const [, , statementText, policyText] = text.split('.', 4)
    const named = this.#resource.tenant
    const id = JSON.stringify([statementText, policyText, signature, timestamp, keyId, tenant, named])
    const known = this.#statements.get(id)
    if (known !== undefined) {
      const failure = known.statement === undefined ? undefined : this.#distrustNow(known.statement)
      return failure === undefined ? known : failed(failure)
    }
    const checked = this.#checkStatement(texts, proof, tenant)
    // A key that is not known may be so in a moment, so that is not remembered.
    if (checked.failure?.verdict === 'unknown_key') return checked
    this.#remember(id, checked)
    return checked
  }

  #remember(id: string, checked: CheckedStatement): void {
    if (this.#statements.size >= STATEMENTS_MAX || this.#statementChars > STATEMENT_CHARS_MAX) {
      this.#statements.clear()
      this.#statementChars = 0
    }
    this.#statements.set(id, checked)
    this.#statementChars += id.length
  }

  #checkStatement(
    texts: SignatureTexts,
    { statement: bytes, policy }: Proof,
    tenant: string | undefined,
  ): CheckedStatement {
    const statement = readStatement(bytes)
    const signature = readBase64url(texts.signature)
    if (statement === undefined || signature === undefined) {
      return failed(badProof('statement or signature is not canonical'))
    }
    if (texts.keyId !== statement.keyId || texts.timestamp !== statement.timeNs.toString()) {
      return failed(badProof('key id or timestamp differ from the statement'))
    }
    return this.#checkSigned(statement, { bytes, signature, policy }, tenant)
  }

  /** What both forms have: statement, signature and policy. */
  #checkSigned(
    statement: Statement | undefined,
    { bytes, signature, policy: policyBytes }: Signed,
    tenant: string | undefined,
  ): CheckedStatement {
    if (statement === undefined) return failed(badProof('statement or signature is not canonical'))
    if (statement.kind !== Kind.BATCH) return failed(badProof('statement is not one of a batch'))
    if (Buffer.compare(statementHash(policyBytes), statement.policyId) !== 0)
      return failed(badProof('policy is not the one of the statement'))
    const policy = orUndefined(() => decodePolicy(policyBytes))
    if (policy === undefined) return failed(badProof('policy is not canonical'))
    if (this.#isOfAnother(statement.tenant, tenant)) return failed(badProof(OTHER_TENANT))
    const key = this.#keys(statement.keyId, statement.tenant, 'ed25519-merkle-v1')
    if (key === undefined) return failed(unknownKey(NO_KEY))
    const distrust = distrustOf(key, statement.timeNs)
    if (distrust !== undefined) return failed(unknownKey(distrust))
    if (key.algorithm !== 'ed25519-merkle-v1') return failed(badProof('key is of another algorithm'))
    if (!verifyEd25519(key.key, pae(STATEMENT_TYPE, bytes), signature)) {
      return failed(badProof('signature does not verify'))
    }
    return { statement, policy, form: this.#formOf(statement), failure: undefined }
  }

  #formOf(statement: Statement): CanonicalForm {
    const coverage = statement.coverage ?? DEFAULT_COVERAGE
    const id = JSON.stringify(coverage)
    let form = this.#forms.get(id)
    if (form === undefined) {
      form = new CanonicalForm(compileCoverage(coverage))
      if (this.#forms.size >= STATEMENTS_MAX) this.#forms.clear()
      this.#forms.set(id, form)
    }
    return form
  }

  #checkMac(texts: SignatureTexts, span: SpanContext, tenant: string | undefined): SpanCheck {
    const { keyId = '', timestamp = '', signature: signatureText, proof } = texts
    const signature = readBase64url(signatureText)
    if (proof !== undefined || signature === undefined || !isUint64(timestamp)) {
      return { ...badProof('signature attributes are not the ones expected, each once'), keyId }
    }
    const named = this.#resource.tenant === '' ? tenant : this.#resource.tenant
    const key = this.#keys(keyId, named, 'hmac-sha256')
    if (key === undefined) return { ...unknownKey('no secret of this id and tenant'), keyId }
    const distrust = distrustOf(key, BigInt(timestamp))
    if (distrust !== undefined) return { ...unknownKey(distrust), keyId }
    if (key.algorithm !== 'hmac-sha256') return { ...badProof('key is of another algorithm'), keyId }
    const owner = key.tenant ?? named ?? ''
    if (this.#isOfAnother(owner, tenant)) return { ...badProof(OTHER_TENANT), keyId }
    const signed = { keyId, timeNs: BigInt(timestamp), tenant: owner, coverage: this.#macCoverage }
    const mac = spanMac(key.key, signed, this.#leaf(this.#macForm, span))
    if (signature.length !== mac.length || !timingSafeEqual(signature, mac)) {
      return { verdict: 'tampered', reason: 'span differs from what was signed', keyId }
    }
    return { verdict: 'valid', reason: '', keyId }
  }

  #leaf(form: CanonicalForm, span: SpanContext): Uint8Array {
    const before = form.bytesLookedAt
    const leaf = Buffer.from(form.leaf(span), 'latin1')
    this.bytesLookedAt += form.bytesLookedAt - before
    return leaf
  }
}

function readProof(text: string | undefined): Proof | undefined {
  return text === undefined ? undefined : orUndefined(() => parseProof(text))
}

function readStatement(bytes: Uint8Array): Statement | undefined {
  return orUndefined(() => decodeStatement(bytes))
}

function readBase64url(text: string | undefined): Uint8Array | undefined {
  return text === undefined ? undefined : orUndefined(() => fromBase64url(text))
}

/** A decimal without leading zeros that fits 64 bits. */
function isUint64(text: string): boolean {
  return /^(0|[1-9][0-9]{0,19})$/.test(text) && BigInt(text) === BigInt.asUintN(64, BigInt(text))
}

/** Whoever forged it: what cannot be read is no proof. */
function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

/** Why a key that is there counts for nothing at this time; `undefined` when it counts. */
function distrustOf(key: VerifyingKey, timeNs: bigint): string | undefined {
  if (key.isRevoked === true) return 'key is revoked'
  if (key.notAfterMs !== undefined && timeNs > BigInt(key.notAfterMs) * NS_PER_MS)
    return 'key had ended before it says to have signed'
  return DISTRUST.get(key.endorsement)
}

function unknownKey(reason: string): SpanCheck {
  return { verdict: 'unknown_key', reason }
}

function badProof(reason: string): SpanCheck {
  return { verdict: 'bad_proof', reason }
}

function failed(failure: SpanCheck): CheckedStatement {
  return { statement: undefined, policy: undefined, form: undefined, failure }
}

function idOf(keyId: string | undefined): { keyId?: string } {
  return keyId === undefined ? {} : { keyId }
}
