// Transit's own text form, `vault:v<version>:<base64>`, kept as it is, so that an operator can open a wrapped key with
// the server's own command. Only its canonical spelling is sent: the server reads version 0 as 1 and ignores spare bits
// of base64, and a wrapped key with another spelling would open as well.

const FORM = /^vault:v([1-9]\d{0,8}):((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/
const CIPHERTEXT_BYTES_MAX = 16_384

export interface TransitText {
  readonly version: number
  readonly base64: string
}

/** Version and body of a ciphertext or signature, `undefined` unless it is in canonical form. */
export function parseTransitText(text: string): TransitText | undefined {
  if (text.length > CIPHERTEXT_BYTES_MAX) return undefined
  const [, version, base64] = FORM.exec(text) ?? []
  if (version === undefined || base64 === undefined || base64 === '') return undefined
  if (Buffer.from(base64, 'base64').toString('base64') !== base64) return undefined
  return { version: Number(version), base64 }
}

/** The text of wrapped bytes, `undefined` when they are none. */
export function ciphertextOf(wrapped: Uint8Array): string | undefined {
  if (wrapped.length > CIPHERTEXT_BYTES_MAX) return undefined
  const text = Buffer.from(wrapped.buffer, wrapped.byteOffset, wrapped.byteLength).toString('latin1')
  return parseTransitText(text) && text
}

/** Bytes of canonical base64, `undefined` for anything else. The caller's. */
export function base64Bytes(text: string | undefined): Buffer | undefined {
  if (text === undefined) return undefined
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}
