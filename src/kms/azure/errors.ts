// What Key Vault, Entra ID and their clients say, in the one taxonomy. The original error is never kept: it holds the
// request with its bearer token, and for an answer that does not parse the answer itself, which may be a key.
import { type KmsClass, KmsError } from '../kms.ts'
import { providerText } from '../provider-text.ts'

/** Codes inside `innererror`, which say more than the status. */
const CLASS_OF_INNER_CODE: ReadonlyMap<string, KmsClass> = new Map([
  ['KeyDisabled', 'key_disabled'],
  ['KeyNotYetValid', 'key_disabled'],
  ['KeyExpired', 'key_disabled'],
  ['ObjectIsDeletedButRecoverable', 'key_disabled'],
  ['ObjectIsBeingDeleted', 'key_disabled'],
])
const DISABLED_TEXT = /not allowed on (?:a|an) (?:disabled|expired|not yet valid) key/i
/** Codes of a connection that took too long; any other failure to connect is a network failure. */
const TIMEOUT_CODES = new Set(['ETIMEDOUT', 'ESOCKETTIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT'])

const AUTHENTICATION_ERRORS = new Set([
  'AuthenticationError',
  'AuthenticationRequiredError',
  'AggregateAuthenticationError',
])
/** Error codes of RFC 6749 §5.2 that trying again does not change; where there is no status they begin the message. */
const OAUTH_REFUSAL =
  /^(?:invalid_(?:client|grant|request|resource|scope)|unauthorized_client|unsupported_grant_type|access_denied)\b/

export function azureError(thrown: unknown, operation: string): KmsError {
  const code = textMember(thrown, 'code')
  const status = member(thrown, 'statusCode')
  const name = textMember(thrown, 'name')
  if (AUTHENTICATION_ERRORS.has(name)) {
    return authenticationError(thrown, operation)
  }
  if (name === 'AbortError' || name === 'TimeoutError') {
    return new KmsError('timeout', operation, 'No response in time')
  }
  // Its message quotes the answer that does not parse.
  if (code === 'PARSE_ERROR') {
    return new KmsError('network', operation, 'the answer does not parse: half of one, or another server')
  }
  if (typeof status === 'number' && status >= 300) return answerError(thrown, status, operation)
  if (code !== '' && TIMEOUT_CODES.has(code)) {
    return new KmsError('timeout', operation, `no connection in time (${code})`)
  }
  const message = providerText(textMember(thrown, 'message'))
  // Also: no credential was available, a certificate was refused, a token endpoint made no sense.
  return new KmsError(
    'network',
    operation,
    `no call was possible: ${message}${code && ` (${providerText(code)})`}`,
  )
}

function answerError(thrown: unknown, status: number, operation: string): KmsError {
  // Only the texts that Key Vault itself writes are passed on; what stands between may echo the request.
  const error = member(member(thrown, 'details'), 'error')
  const innerCode = textMember(member(error, 'innerError') ?? member(error, 'innererror'), 'code')
  const code = innerCode || textMember(error, 'code')
  const message = textMember(error, 'message')
  const text = providerText(`${code || 'no text of Key Vault'}: ${message}`)
  const retryAfterMs = retryAfterOf(thrown)
  return new KmsError(
    classOf(status, innerCode, message, operation),
    operation,
    `${text} (HTTP ${status})`,
    retryAfterMs === undefined ? {} : { retryAfterMs },
  )
}

function classOf(status: number, innerCode: string, message: string, operation: string): KmsClass {
  const known = CLASS_OF_INNER_CODE.get(innerCode)
  if (known !== undefined) return known
  if (status === 403 && DISABLED_TEXT.test(message)) return 'key_disabled'
  if (status === 401 || status === 403) return 'access_denied'
  if (status === 404) return 'key_not_found'
  if (status === 429) return 'throttled'
  if (status === 408 || status >= 500) return 'network'
  // Nothing in our calls but the wrapped key comes from outside.
  return status === 400 && operation === 'decrypt' ? 'invalid_ciphertext' : 'bad_request'
}

/** Entra ID refused us, or could not be asked. Of a chain of credentials one refusal is news, and their absence is not. */
function authenticationError(thrown: unknown, operation: string): KmsError {
  const errors = member(thrown, 'errors')
  const refusal = [thrown, ...(Array.isArray(errors) ? errors : [])].find(isRefusal)
  const cause = refusal ?? thrown
  const response = member(cause, 'errorResponse')
  const description = textMember(response, 'errorDescription') || textMember(cause, 'message')
  const text = providerText(`${textMember(response, 'error') || 'no token'}: ${description}`)
  return new KmsError(refusal === undefined ? 'network' : 'access_denied', operation, `Entra ID: ${text}`)
}

function isRefusal(error: unknown): boolean {
  const status = member(error, 'statusCode')
  if (typeof status === 'number') return status >= 400 && status < 500 && status !== 408 && status !== 429
  return OAUTH_REFUSAL.test(textMember(error, 'message'))
}

/** Delay seconds or an HTTP date, RFC 9110 §10.2.3. */
function retryAfterOf(thrown: unknown): number | undefined {
  const headers = member(member(thrown, 'response'), 'headers')
  const text: unknown =
    typeof headers === 'object' && headers !== null && 'get' in headers && typeof headers.get === 'function'
      ? headers.get('retry-after')
      : textMember(headers, 'retry-after')
  if (typeof text !== 'string' || text === '') return undefined
  const delayMs = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now()
  return Number.isFinite(delayMs) ? Math.max(0, delayMs) : undefined
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function textMember(value: unknown, name: string): string {
  const text = member(value, name)
  return typeof text === 'string' ? text : ''
}
