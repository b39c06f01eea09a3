// The five attributes of a signed span (proto/evidence.md §5): written as bytes straight into the edit of the span,
// read back as text. All spans of a tree share the first four and most of the fifth, so those bytes are made once.
import { SidecarError } from '../base/errors.ts'
import { stringAttribute, varintSize, writeVarint } from '../wire/write.ts'
import { HASH_BYTES, type MerkleTree, NODE_CHARS } from './merkle.ts'
import type { Algorithm } from './policy.ts'

/** Field number and tag of `attributes` in Span. */
const SPAN_ATTRIBUTES = 9
const SPAN_ATTRIBUTE_TAG = 0x4a
const KEY_TAG = 0x0a
const VALUE_TAG = 0x12
const STRING_TAG = 0x0a

export const SignatureKey = {
  SIGNATURE: 'span.signature',
  ALGORITHM: 'span.signature.algorithm',
  TIMESTAMP: 'span.signature.timestamp',
  KEY_ID: 'span.signature.key_id',
  PROOF: 'span.signature.proof',
} as const

const PROOF_KEY = Buffer.from(SignatureKey.PROOF)
const OUT_BYTES_MIN = 4096
const PATH_NODES_MAX = 53
const INDEX_CHARS_MAX = 16
/** Tags, lengths and key around a proof, at most. */
const PROOF_FRAME_BYTES_MAX = 64

/** The attributes that say who signed what when; the same for every span of a tree. */
export function signatureAttributes(
  signature: Uint8Array,
  algorithm: Algorithm,
  timeNs: bigint,
  keyId: string,
): Uint8Array {
  return Buffer.concat([
    stringAttribute(SPAN_ATTRIBUTES, SignatureKey.SIGNATURE, toBase64url(signature)),
    stringAttribute(SPAN_ATTRIBUTES, SignatureKey.ALGORITHM, algorithm),
    stringAttribute(SPAN_ATTRIBUTES, SignatureKey.TIMESTAMP, timeNs.toString()),
    stringAttribute(SPAN_ATTRIBUTES, SignatureKey.KEY_ID, keyId),
  ])
}

/** Writes what each span of one tree gets. One instance serves tree after tree; what it returns is overwritten. */
export class ProofWriter {
  #out = Buffer.allocUnsafeSlow(OUT_BYTES_MIN)
  // The same bytes as a plain view: `subarray` of a Buffer is several times slower, and `fillFrom` takes one.
  #view = new Uint8Array(this.#out.buffer)
  /** The shared attributes stand at the front and are never written again. */
  #sharedBytes = 0
  #middle = Buffer.alloc(0)

  /** Begins a tree. `statement` is undefined where no proof is written. */
  begin(shared: Uint8Array, statement: Uint8Array): void {
    this.#middle = Buffer.from(`.${toBase64url(statement)}`, 'latin1')
    const bytesMax =
      shared.length +
      PROOF_FRAME_BYTES_MAX +
      INDEX_CHARS_MAX +
      this.#middle.length +
      1 +
      PATH_NODES_MAX * NODE_CHARS
    if (this.#out.length < bytesMax) {
      this.#out = Buffer.allocUnsafeSlow(bytesMax)
      this.#view = new Uint8Array(this.#out.buffer)
    }
    this.#out.set(shared)
    this.#sharedBytes = shared.length
  }

  /** The buffer that `write` filled. */
  get bytes(): Uint8Array {
    return this.#view
  }

  /** Writes all five attributes for a leaf; returns how many bytes. `tree` undefined leaves the path out. */
  write(index: number, pathNodes: number, tree: MerkleTree | undefined): number {
    const out = this.#out
    const middle = this.#middle
    const indexText = `v1.${index}`
    const chars = indexText.length + middle.length + (tree === undefined ? 0 : 1 + pathNodes * NODE_CHARS)
    const anyValue = 1 + varintSize(chars) + chars
    const keyValue = 2 + PROOF_KEY.length + 1 + varintSize(anyValue) + anyValue
    let at = this.#sharedBytes
    out[at++] = SPAN_ATTRIBUTE_TAG
    at = writeVarint(out, at, keyValue)
    out[at++] = KEY_TAG
    out[at++] = PROOF_KEY.length
    out.set(PROOF_KEY, at)
    at += PROOF_KEY.length
    out[at++] = VALUE_TAG
    at = writeVarint(out, at, anyValue)
    out[at++] = STRING_TAG
    at = writeVarint(out, at, chars)
    for (let i = 0; i < indexText.length; i++) out[at++] = indexText.charCodeAt(i)
    out.set(middle, at)
    at += middle.length
    if (tree === undefined) return at
    out[at++] = 0x2e // the dot before the path
    return tree.writePath(index, out, at)
  }
}

export interface Proof {
  readonly index: number
  readonly statement: Uint8Array
  /** `undefined`: the path is in the ledger. */
  readonly path: readonly Uint8Array[] | undefined
}

const PROOF = /^v1\.(0|[1-9][0-9]{0,14})\.([A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_-]*))?$/

/** Throws MALFORMED for anything but a proof's canonical form. */
export function parseProof(text: string): Proof {
  const match = PROOF.exec(text)
  if (match === null) throw malformedProof()
  const [, index, statement, path] = match
  return {
    index: Number(index),
    statement: fromBase64url(statement),
    path: path === undefined ? undefined : parsePath(path),
  }
}

function parsePath(text: string): Uint8Array[] {
  if (text.length % NODE_CHARS !== 0 || text.length > PATH_NODES_MAX * NODE_CHARS) throw malformedProof()
  const path: Uint8Array[] = []
  for (let at = 0; at < text.length; at += NODE_CHARS) {
    const node = fromBase64url(text.slice(at, at + NODE_CHARS))
    if (node.length !== HASH_BYTES) throw malformedProof()
    path.push(node)
  }
  return path
}

export function toBase64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url')
}

/** Only the canonical form: what does not come out as it went in is refused, with MALFORMED. */
export function fromBase64url(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text) throw malformedProof()
  return bytes
}

function malformedProof(): SidecarError {
  return new SidecarError('MALFORMED', 'proof is not canonical')
}
