// What the attributes of a signature say, as text (proto/evidence.md §5). Nothing of it is believed.
import { isReference } from './compact-proof.ts'
import { SignatureKey } from './proof.ts'
import type { SpanParts } from './span-parts.ts'
import { stringOf } from './string-value.ts'

/** Longest text of a signature's attribute. A proof has some hundred characters and 43 for each level of its tree. */
export const TEXT_CHARS_MAX = 16_384

/** Of the inline form and of hmac-sha256. */
export interface SignatureTexts {
  signature?: string
  algorithm?: string
  timestamp?: string
  keyId?: string
  proof?: string
}

/** The signature's attributes as text; `undefined` when one is unknown, doubled, missing or not a string. */
export function signatureTexts(buf: Uint8Array, parts: SpanParts): SignatureTexts | undefined {
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

/** What a compact signature says, which is the only attribute of it; `undefined` where it is none. */
export function referenceOf(buf: Uint8Array, { signature }: SpanParts): string | undefined {
  if (signature.count !== 1) return undefined
  if (latin1(buf, signature.keyStart(0), signature.keyEnd(0)) !== SignatureKey.SIGNATURE) return undefined
  const text = stringOf(buf, signature.valueStart(0), signature.valueEnd(0))
  return text !== undefined && isReference(text) && text.length <= TEXT_CHARS_MAX ? text : undefined
}

const NAMES: ReadonlyMap<string, keyof SignatureTexts> = new Map([
  [SignatureKey.SIGNATURE, 'signature'],
  [SignatureKey.ALGORITHM, 'algorithm'],
  [SignatureKey.TIMESTAMP, 'timestamp'],
  [SignatureKey.KEY_ID, 'keyId'],
  [SignatureKey.PROOF, 'proof'],
])

function latin1(buf: Uint8Array, start: number, end: number): string {
  return Buffer.from(buf.buffer, buf.byteOffset + start, end - start).toString('latin1')
}
