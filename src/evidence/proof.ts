// What a signed span carries (proto/evidence.md §5), written as bytes straight into the edit of the span, and the proof of
// the inline form read back as text. What spans of a tree have in common is made once.
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

const OUT_BYTES_MIN = 4096
export const PATH_NODES_MAX = 53
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

/** What the spans of one tree, or of one resource in it, have in common. */
export interface SharedProof {
  /** Whole attributes that stand before the proof. */
  readonly attributes: Uint8Array
  /** Of the attribute with the proof, and what its value has before and after the index. */
  readonly key: string
  readonly before: string
  readonly after: string
}

/** Writes what each span of one tree gets. One instance serves tree after tree; what it returns is overwritten. */
export class ProofWriter {
  #out = Buffer.allocUnsafeSlow(OUT_BYTES_MIN)
  // The same bytes as a plain view: `subarray` of a Buffer is several times slower, and `fillFrom` takes one.
  #view = new Uint8Array(this.#out.buffer)
  /** The shared attributes stand at the front and are never written again. */
  #sharedBytes = 0
  #key = Buffer.alloc(0)
  #before = Buffer.alloc(0)
  #after = Buffer.alloc(0)

  /** Begins a tree. */
  begin({ attributes, key, before, after }: SharedProof): void {
    this.#key = Buffer.from(key)
    this.#before = Buffer.from(before, 'latin1')
    this.#after = Buffer.from(after, 'latin1')
    const bytesMax =
      attributes.length +
      PROOF_FRAME_BYTES_MAX +
      this.#before.length +
      INDEX_CHARS_MAX +
      this.#after.length +
      1 +
      PATH_NODES_MAX * NODE_CHARS
    if (this.#out.length < bytesMax) {
      this.#out = Buffer.allocUnsafeSlow(bytesMax)
      this.#view = new Uint8Array(this.#out.buffer)
    }
    this.#out.set(attributes)
    this.#sharedBytes = attributes.length
  }

  /** The buffer that `write` filled. */
  get bytes(): Uint8Array {
    return this.#view
  }

  /** Writes all attributes for a leaf whose path up to `height` has so many nodes; returns how many bytes. */
  write(tree: MerkleTree, index: number, height: number, pathNodes: number): number {
    const out = this.#out
    const before = this.#before
    const after = this.#after
    const indexText = String(index)
    const pathChars = pathNodes === 0 ? 0 : 1 + pathNodes * NODE_CHARS
    const chars = before.length + indexText.length + after.length + pathChars
    const anyValue = 1 + varintSize(chars) + chars
    const keyValue = 2 + this.#key.length + 1 + varintSize(anyValue) + anyValue
    let at = this.#sharedBytes
    out[at++] = SPAN_ATTRIBUTE_TAG
    at = writeVarint(out, at, keyValue)
    out[at++] = KEY_TAG
    out[at++] = this.#key.length
    out.set(this.#key, at)
    at += this.#key.length
    out[at++] = VALUE_TAG
    at = writeVarint(out, at, anyValue)
    out[at++] = STRING_TAG
    at = writeVarint(out, at, chars)
    out.set(before, at)
    at += before.length
    for (let i = 0; i < indexText.length; i++) out[at++] = indexText.charCodeAt(i)
    out.set(after, at)
    at += after.length
    if (pathNodes === 0) return at
    out[at++] = 0x2e // the dot before the path
    return tree.writePath(index, out, at, height)
  }
}

/** What `span.signature.proof` says. Nothing of it is verified. */
export interface Proof {
  readonly index: number
  readonly statement: Uint8Array
  readonly policy: Uint8Array
  readonly path: readonly Uint8Array[]
}

const PROOF = /^v1\.(0|[1-9][0-9]{0,14})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_-]+))?$/

/** Throws MALFORMED for anything but a proof's canonical form. */
export function parseProof(text: string): Proof {
  const match = PROOF.exec(text)
  if (match === null) throw malformedProof()
  const [, index, statement, policy, path = ''] = match
  return {
    index: Number(index),
    statement: fromBase64url(statement),
    policy: fromBase64url(policy),
    path: parseNodes(path, PATH_NODES_MAX),
  }
}

/** Hashes of 43 characters each. Throws MALFORMED for another text, and for more of them than `countMax`. */
export function parseNodes(text: string, countMax: number): Uint8Array[] {
  if (text.length % NODE_CHARS !== 0 || text.length > countMax * NODE_CHARS) throw malformedProof()
  const nodes: Uint8Array[] = []
  for (let at = 0; at < text.length; at += NODE_CHARS) {
    const node = fromBase64url(text.slice(at, at + NODE_CHARS))
    if (node.length !== HASH_BYTES) throw malformedProof()
    nodes.push(node)
  }
  return nodes
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

export function malformedProof(): SidecarError {
  return new SidecarError('MALFORMED', 'proof is not canonical')
}
