// What a Vault or OpenBao server says, in the one taxonomy. Its errors have no codes, only a status and texts; the texts
// below are those of Transit, the same in both products.
import { type KmsClass, KmsError } from '../kms.ts'
import type { VaultAnswer } from './answer.ts'

const MESSAGE_CHARS_MAX = 300

const TEXTS: readonly (readonly [text: RegExp, kmsClass: KmsClass])[] = [
  // An operator raised min_decryption_version. Lowering it again brings every old value back, so "does not open" would
  // be the wrong news.
  [/disallowed by policy \(too old\)/, 'key_disabled'],
  [/version .* less than the minimum/, 'key_disabled'],
  [/soft-deleted key/, 'key_disabled'],
  [/(?:encryption|signing) key not found|higher than the latest key version/, 'key_not_found'],
  [/message authentication failed|invalid ciphertext|decryption failed/, 'invalid_ciphertext'],
  [/local node not active|sealed|standby/i, 'network'],
]

/** The error that an answer other than 2xx stands for. */
export function answerError(operation: string, answer: VaultAnswer): KmsError {
  const text = errorText(answer)
  const options = answer.retryAfterMs === undefined ? {} : { retryAfterMs: answer.retryAfterMs }
  return new KmsError(classOf(answer.status, text), operation, text, options)
}

/** An answer of 2xx that lacks what it must hold: half of one, or another server's. The next attempt may meet a better. */
export function unusableAnswer(operation: string): KmsError {
  return new KmsError('network', operation, 'answer is not what Transit answers')
}

function classOf(status: number, text: string): KmsClass {
  if (status === 403) return 'access_denied'
  if (status === 429) return 'throttled'
  // Keys, mounts and namespaces that are not there are all 404 without more.
  if (status === 404) return 'key_not_found'
  if (status === 400 || status === 500) {
    const known = TEXTS.find(([pattern]) => pattern.test(text))
    if (known) return known[1]
  }
  // 412: a replica that has not caught up. 5xx: sealed (503), no leader, a gateway. 3xx: a standby that does not forward.
  if (status === 412 || status >= 500 || (status >= 300 && status < 400)) return 'network'
  return 'bad_request'
}

// Only the texts that Vault itself writes are passed on. What stands between may echo the request.
function errorText(answer: VaultAnswer): string {
  const { status, body } = answer
  const errors = isObject(body) && Array.isArray(body.errors) ? body.errors : []
  const texts = errors.filter((error): error is string => typeof error === 'string')
  const text = tidy(texts.join('; '))
  if (text !== '') return `${text} (HTTP ${status})`
  if (status >= 300 && status < 400)
    return `HTTP ${status}: a standby that redirects; name the active node or have it forward`
  return `HTTP ${status} without a text of Vault's`
}

/** One line of bounded length, without what looks like a secret. */
export function tidy(text: string): string {
  const line = text
    .slice(0, 4 * MESSAGE_CHARS_MAX)
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .replace(SECRETS, '[redacted]')
  return line.trim().slice(0, MESSAGE_CHARS_MAX)
}

// Wrapped plaintext is base64 of 43 characters and more, a token `s.` or `hvs.` and at least 20, a service account token
// starts like every JSON object does. Vault's own texts quote none of them.
const SECRETS =
  /\beyJ[A-Za-z0-9_-]{8,}[A-Za-z0-9_.-]*|\b(?:hv[sbr]|[sbr])\.[A-Za-z0-9_-]{20,}|[A-Za-z0-9+/]{43,}={0,2}/g

/** A field of an object that came as JSON. */
export function field(value: unknown, name: string): unknown {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
}

export function textField(value: unknown, name: string): string | undefined {
  const text = field(value, name)
  return typeof text === 'string' ? text : undefined
}

export function numberField(value: unknown, name: string): number | undefined {
  const number = field(value, name)
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
