// The verdict on one span (proto/evidence.md §6), for the verifier and for signatures that come in from outside. A
// statement and its signature are checked once per tree and remembered; a span then costs its leaf and its path.
import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto'
import { verifyEd25519 } from '../formats/ed25519.ts'
import { CanonicalForm, type CoverageRules } from './canonical.ts'
import { nodeFromPath } from './merkle.ts'
import { compileCoverage } from './policy.ts'
import { fromBase64url, type Proof, parseProof, SignatureKey } from './proof.ts'
import { macMessage, SPAN_MAC_TYPE } from './span-mac.ts'
import type { SpanParts } from './span-parts.ts'
import type { SpanContext } from './span-walk.ts'
import {
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
}

/** A key as a verifier has it. What it is for comes from the key, never from the span. */
export interface VerifyingKey {
  readonly algorithm: 'ed25519-merkle-v1' | 'hmac-sha256'
  readonly key: KeyObject
  /** A revoked key vouches for nothing: its verdict is `unknown_key`. */
  readonly isRevoked?: boolean
  /** Who vouches for the key, by proto/key-endorsement.md §3; absent where nobody judged it. */
  readonly endorsement?: KeyEndorsement
}

export type KeyEndorsement = 'first' | 'endorsed' | 'endorser_unknown' | 'endorser_revoked' | 'bad'

/** What makes a key one that is not known. A list may be cut short, so an endorser that is not in it is only told. */
const DISTRUST: ReadonlyMap<KeyEndorsement | undefined, string> = new Map([
  ['endorser_revoked', 'key was endorsed by a revoked key'],
  ['bad', 'endorsement of the key does not verify'],
])

/**
 * Finds a key by its id, of the tenant where one is known: whose span it should be, else whom the statement names. One id
 * may have a public key and a secret.
 */
export type KeyLookup = (
  keyId: string,
  tenant: string | undefined,
  algorithm: VerifyingKey['algorithm'],
) => VerifyingKey | undefined

interface CheckedStatement {
  readonly statement: Statement | undefined
  readonly form: CanonicalForm | undefined
  readonly failure: SpanCheck | undefined
}

interface SignatureTexts {
  signature?: string
  algorithm?: string
  timestamp?: string
  keyId?: string
  proof?: string
}

/** Statements remembered at once; a file has one per request and tenant. */
const STATEMENTS_MAX = 1024
/** Characters of the texts that those are remembered by, all together. */
const STATEMENT_CHARS_MAX = 4 * 1024 * 1024
/** Longest text of a signature's attribute. A proof has some hundred characters and 43 for each level of its tree. */
const TEXT_CHARS_MAX = 16_384
const STRING_TAG = 0x0a

export class SpanChecker {
  readonly #keys: KeyLookup
  readonly #statements = new Map<string, CheckedStatement>()
  #statementChars = 0
  readonly #forms = new Map<string, CanonicalForm>()
  readonly #macForm: CanonicalForm
  /** Bytes read, compared and hashed since the start, without what a signature's own texts take. */
  bytesLookedAt = 0

  /** `macCoverage` is the coverage that the signer of hmac-sha256 spans is configured with. */
  constructor(keys: KeyLookup, macCoverage: CoverageRules = compileCoverage(DEFAULT_COVERAGE)) {
    this.#keys = keys
    this.#macForm = new CanonicalForm(macCoverage)
  }

  /** `tenant` is whose span it should be, where that is known. */
  check(span: SpanContext, tenant?: string): SpanCheck {
    const { buf, parts } = span
    if (parts.signature.count === 0) return { verdict: 'unsigned', reason: 'no signature' }
    const texts = signatureTexts(buf, parts)
    if (texts === undefined) return badProof('signature attributes are not the ones expected, each once')
    const { algorithm, keyId } = texts
    if (algorithm === 'hmac-sha256') {
      return this.#checkMac(texts, () => this.#leaf(this.#macForm, span), tenant)
    }
    if (algorithm !== 'ed25519-merkle-v1') return { ...badProof('unknown algorithm'), ...idOf(keyId) }
    const proof = readProof(texts.proof)
    if (proof === undefined) return { ...badProof('proof is not canonical'), ...idOf(keyId) }
    const { statement, form, failure } = this.#statementOf(texts, proof, tenant)
    if (failure !== undefined) return { ...failure, ...idOf(keyId) }
    if (statement === undefined || form === undefined) return badProof('no statement')
    const found = { ...idOf(keyId), statement, index: proof.index }
    const leaf = this.#leaf(form, span)
    const root = nodeFromPath(leaf, proof.index, statement.leafCount ?? 0, proof.path)
    if (root === undefined) return { ...badProof('path does not fit index and leaf count'), ...found }
    if (Buffer.compare(root, statement.root ?? leaf) !== 0) {
      return { verdict: 'tampered', reason: 'span differs from what was signed', ...found }
    }
    return { verdict: 'valid', reason: '', ...found }
  }

  /** The part of the verdict that all spans of a tree share. */
  #statementOf(texts: SignatureTexts, proof: Proof, tenant: string | undefined): CheckedStatement {
    const { proof: text = '', signature, timestamp, keyId } = texts
    const [, , statementText, policyText] = text.split('.', 4)
    const id = JSON.stringify([statementText, policyText, signature, timestamp, keyId, tenant])
    const known = this.#statements.get(id)
    if (known !== undefined) return known
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
    if (statement.kind !== Kind.BATCH) return failed(badProof('statement is not one of a batch'))
    if (Buffer.compare(statementHash(policy), statement.policyId) !== 0)
      return failed(badProof('policy is not the one of the statement'))
    if (texts.keyId !== statement.keyId || texts.timestamp !== statement.timeNs.toString()) {
      return failed(badProof('key id or timestamp differ from the statement'))
    }
    const key = this.#keys(statement.keyId, tenant ?? statement.tenant, 'ed25519-merkle-v1')
    if (key === undefined) return failed({ verdict: 'unknown_key', reason: 'no public key of this id' })
    if (key.isRevoked === true) return failed({ verdict: 'unknown_key', reason: 'key is revoked' })
    const distrust = DISTRUST.get(key.endorsement)
    if (distrust !== undefined) return failed({ verdict: 'unknown_key', reason: distrust })
    if (key.algorithm !== 'ed25519-merkle-v1') return failed(badProof('key is of another algorithm'))
    if (!verifyEd25519(key.key, pae(STATEMENT_TYPE, bytes), signature)) {
      return failed(badProof('signature does not verify'))
    }
    return { statement, form: this.#formOf(statement), failure: undefined }
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

  #checkMac(texts: SignatureTexts, leaf: () => Uint8Array, tenant: string | undefined): SpanCheck {
    const { keyId = '', timestamp = '', signature: signatureText, proof } = texts
    const signature = readBase64url(signatureText)
    if (proof !== undefined || signature === undefined || !isUint64(timestamp)) {
      return { ...badProof('signature attributes are not the ones expected, each once'), keyId }
    }
    const key = this.#keys(keyId, tenant, 'hmac-sha256')
    if (key === undefined) return { verdict: 'unknown_key', reason: 'no secret of this id', keyId }
    if (key.isRevoked === true) return { verdict: 'unknown_key', reason: 'key is revoked', keyId }
    if (key.algorithm !== 'hmac-sha256') return { ...badProof('key is of another algorithm'), keyId }
    const message = macMessage(keyId, BigInt(timestamp), leaf())
    const mac = createHmac('sha256', key.key).update(pae(SPAN_MAC_TYPE, message)).digest()
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

/** The signature's attributes as text; `undefined` when one is unknown, doubled, missing or not a string. */
function signatureTexts(buf: Uint8Array, parts: SpanParts): SignatureTexts | undefined {
  const { signature } = parts
  const texts: SignatureTexts = {}
  for (let i = 0; i < signature.count; i++) {
    const name = NAMES.get(latin1(buf, signature.keyStart(i), signature.keyEnd(i)))
    const text = stringOf(buf, signature.valueStart(i), signature.valueEnd(i))
    if (name === undefined || text === undefined || texts[name] !== undefined) return undefined
    if (text.length > TEXT_CHARS_MAX) return undefined
    texts[name] = text
  }
  const { signature: bytes, algorithm, timestamp, keyId } = texts
  const isWhole =
    bytes !== undefined && algorithm !== undefined && timestamp !== undefined && keyId !== undefined
  return isWhole ? texts : undefined
}

const NAMES: ReadonlyMap<string, keyof SignatureTexts> = new Map([
  [SignatureKey.SIGNATURE, 'signature'],
  [SignatureKey.ALGORITHM, 'algorithm'],
  [SignatureKey.TIMESTAMP, 'timestamp'],
  [SignatureKey.KEY_ID, 'keyId'],
  [SignatureKey.PROOF, 'proof'],
])

/** The content of an AnyValue that is exactly one string. */
function stringOf(buf: Uint8Array, start: number, end: number): string | undefined {
  if (start >= end || buf[start] !== STRING_TAG) return undefined
  let pos = start + 1
  let length = 0
  for (let shift = 0; pos < end && shift < 28; shift += 7) {
    const byte = buf[pos++]
    length |= (byte & 0x7f) << shift
    if (byte < 0x80) return pos + length === end ? utf8(buf, pos, end) : undefined
  }
  return undefined
}

function latin1(buf: Uint8Array, start: number, end: number): string {
  return Buffer.from(buf.buffer, buf.byteOffset + start, end - start).toString('latin1')
}

function utf8(buf: Uint8Array, start: number, end: number): string {
  return Buffer.from(buf.buffer, buf.byteOffset + start, end - start).toString('utf8')
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

function badProof(reason: string): SpanCheck {
  return { verdict: 'bad_proof', reason }
}

function failed(failure: SpanCheck): CheckedStatement {
  return { statement: undefined, form: undefined, failure }
}

function idOf(keyId: string | undefined): { keyId?: string } {
  return keyId === undefined ? {} : { keyId }
}
