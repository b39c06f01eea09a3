import { inspect } from 'node:util'
import { expect, test, vi } from 'vitest'
import { azureError } from '../../../../src/kms/azure/errors.ts'
import type { KmsClass } from '../../../../src/kms/kms.ts'

interface Given {
  readonly status: number
  readonly code: string
  readonly inner?: string
  readonly message?: string
  readonly retryAfter?: string
}

/** As the client throws it: a RestError with the parsed body in `details`. */
function answer({ status, code, inner, message = 'Some text.', retryAfter }: Given): Error {
  const innerError = inner === undefined ? undefined : { code: inner }
  return Object.assign(new Error('Unexpected status code'), {
    name: 'RestError',
    statusCode: status,
    code,
    details: { error: { code, message, innerError } },
    response: { headers: new Headers(retryAfter === undefined ? {} : { 'retry-after': retryAfter }) },
    request: { headers: new Headers({ authorization: 'Bearer t0ken' }), body: '{"value":"a2V5"}' },
  })
}

const TABLE: readonly (readonly [name: string, given: Given, kmsClass: KmsClass])[] = [
  ['denied by role', { status: 403, code: 'Forbidden', inner: 'ForbiddenByRbac' }, 'access_denied'],
  ['denied by policy', { status: 403, code: 'Forbidden', inner: 'AccessDenied' }, 'access_denied'],
  [
    'denied by the firewall',
    { status: 403, code: 'Forbidden', inner: 'ForbiddenByFirewall' },
    'access_denied',
  ],
  ['no valid token', { status: 401, code: 'Unauthorized' }, 'access_denied'],
  ['disabled', { status: 403, code: 'Forbidden', inner: 'KeyDisabled' }, 'key_disabled'],
  ['expired', { status: 403, code: 'Forbidden', inner: 'KeyExpired' }, 'key_disabled'],
  ['not yet valid', { status: 403, code: 'Forbidden', inner: 'KeyNotYetValid' }, 'key_disabled'],
  [
    'disabled, said in words only',
    { status: 403, code: 'Forbidden', message: 'Operation wrapKey is not allowed on a disabled key.' },
    'key_disabled',
  ],
  ['being deleted', { status: 409, code: 'Conflict', inner: 'ObjectIsBeingDeleted' }, 'key_disabled'],
  ['not found', { status: 404, code: 'KeyNotFound' }, 'key_not_found'],
  ['throttled', { status: 429, code: 'Throttled' }, 'throttled'],
  ['request timeout', { status: 408, code: 'Timeout' }, 'network'],
  ['broken', { status: 500, code: 'InternalServerError' }, 'network'],
  ['unavailable', { status: 503, code: 'ServiceUnavailable' }, 'network'],
  ['refused parameter', { status: 400, code: 'BadParameter' }, 'bad_request'],
  ['no such method', { status: 405, code: 'BadParameter' }, 'bad_request'],
]

test.each(TABLE)('%s', (_, given, kmsClass) => {
  const error = azureError(answer(given), 'encrypt')
  expect(error.kmsClass).toBe(kmsClass)
  const { inner, code, message = 'Some text.', status } = given
  expect(error.providerMessage).toBe(`${inner ?? code}: ${message} (HTTP ${status})`)
  expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/t0ken|a2V5/)
})

test('a refused parameter is the wrapped key’s fault when we unwrap', () => {
  const thrown = answer({ status: 400, code: 'BadParameter' })
  expect(azureError(thrown, 'decrypt').kmsClass).toBe('invalid_ciphertext')
})

test('a wait that the service asked for is passed on, in seconds and as a date', () => {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.UTC(2026, 0, 1, 12) })
  try {
    const after = (retryAfter: string): number | undefined =>
      azureError(answer({ status: 429, code: 'Throttled', retryAfter }), 'encrypt').retryAfterMs
    expect(after('7')).toBe(7_000)
    expect(after('0')).toBe(0)
    expect(after('Thu, 01 Jan 2026 12:00:09 GMT')).toBe(9_000)
    expect(after('Thu, 01 Jan 2026 11:00:00 GMT')).toBe(0)
    expect(after('soon')).toBeUndefined()
  } finally {
    vi.useRealTimers()
  }
})

test('an answer that does not parse, which may be a key, is not quoted', () => {
  const thrown = Object.assign(
    new Error('Error "x" occurred while parsing the response body - {"value":"c2Vj'),
    {
      name: 'RestError',
      code: 'PARSE_ERROR',
      statusCode: 200,
    },
  )
  const error = azureError(thrown, 'decrypt')
  expect(error.kmsClass).toBe('network')
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('c2Vj')
})

test('a text that is not Key Vault’s own is not passed on', () => {
  const thrown = Object.assign(new Error('<html>a2V5</html>'), {
    name: 'RestError',
    statusCode: 502,
    details: 'a2V5',
  })
  const error = azureError(thrown, 'encrypt')
  expect(error.kmsClass).toBe('network')
  expect(error.logText).not.toContain('a2V5')
  expect(error.providerMessage).toContain('HTTP 502')
})

test.each([
  ['ECONNREFUSED', 'network'],
  ['ENOTFOUND', 'network'],
  ['ECONNRESET', 'network'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'network'],
  ['REQUEST_SEND_ERROR', 'network'],
  ['ETIMEDOUT', 'timeout'],
] as const)('%s before an answer', (code, kmsClass) => {
  const error = azureError(Object.assign(new Error('it failed'), { name: 'RestError', code }), 'encrypt')
  expect(error.kmsClass).toBe(kmsClass)
  expect(error.providerMessage).toContain(code)
})

test('a call that was cut off because its time was over is a timeout', () => {
  for (const name of ['AbortError', 'TimeoutError']) {
    expect(azureError(new DOMException('aborted', name), 'encrypt').kmsClass).toBe('timeout')
  }
})

test.each([
  ['a refused secret', 401, 'access_denied'],
  ['a request that Entra ID does not take', 400, 'access_denied'],
  ['throttling', 429, 'network'],
  ['a broken Entra ID', 503, 'network'],
] as const)('%s at the token endpoint', (_, statusCode, kmsClass) => {
  const errorResponse = { error: 'invalid_client', errorDescription: 'AADSTS7000215: Invalid client secret.' }
  const alone = Object.assign(new Error('x'), { name: 'AuthenticationError', statusCode, errorResponse })
  const unavailable = Object.assign(new Error('none'), { name: 'CredentialUnavailableError' })
  const chain = Object.assign(new Error('y'), {
    name: 'AggregateAuthenticationError',
    errors: [unavailable, alone],
  })
  for (const thrown of [alone, chain]) expect(azureError(thrown, 'encrypt').kmsClass).toBe(kmsClass)
  expect(azureError(alone, 'encrypt').providerMessage).toContain('AADSTS7000215')
})

test.each([
  [
    'invalid_client: Error(s): Not Available - Description: AADSTS7000215: Invalid client secret.',
    'access_denied',
  ],
  ['unauthorized_client: AADSTS700016', 'access_denied'],
  ['temporarily_unavailable: AADSTS90033: A transient error has occurred.', 'network'],
  ['network_error: Network request failed', 'network'],
  ['endpoints_resolution_error: Endpoints cannot be resolved', 'network'],
] as const)('no token, and the reason is only in the message: %s', (message, kmsClass) => {
  const thrown = Object.assign(new Error(message), { name: 'AuthenticationRequiredError' })
  expect(azureError(thrown, 'encrypt').kmsClass).toBe(kmsClass)
})

test('no credential at all, and things that are no errors, are network failures', () => {
  const none = Object.assign(new Error('EnvironmentCredential is unavailable.'), {
    name: 'CredentialUnavailableError',
  })
  for (const thrown of [none, new TypeError('x of undefined'), undefined, null, 'text', 7]) {
    expect(azureError(thrown, 'encrypt').kmsClass).toBe('network')
  }
})
