import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { answerError, field, numberField, textField, tidy } from '../../../../src/kms/vault/errors.ts'

const answer = (status: number, ...errors: unknown[]) => ({
  status,
  retryAfterMs: undefined,
  body: { errors },
})

describe('what a server says, in the taxonomy', () => {
  const table = [
    ['a wrong or missing token, or a policy', 403, 'permission denied', 'access_denied'],
    ['a key that encrypts', 400, 'encryption key not found', 'key_not_found'],
    ['a key that signs', 400, 'signing key not found', 'key_not_found'],
    ['a key that is read', 404, undefined, 'key_not_found'],
    ['a mount', 404, 'no handler for route "nomount/keys/x". route entry not found.', 'key_not_found'],
    ['a namespace', 404, 'namespace not found', 'key_not_found'],
    ['another context', 400, 'cipher: message authentication failed', 'invalid_ciphertext'],
    ['no ciphertext', 400, 'invalid ciphertext: no prefix', 'invalid_ciphertext'],
    ['too short a ciphertext', 400, 'invalid ciphertext length', 'invalid_ciphertext'],
    ['a version to come', 400, 'invalid ciphertext: version is too new', 'invalid_ciphertext'],
    [
      'a version that the operator forbade',
      400,
      'ciphertext or signature version is disallowed by policy (too old)',
      'key_disabled',
    ],
    ['a key that is deleted softly', 400, 'refusing to use soft-deleted key', 'key_disabled'],
    [
      'a version that may not encrypt',
      400,
      'requested version for encryption is less than the minimum encryption key version',
      'key_disabled',
    ],
    [
      'a version that never was',
      500,
      '1 error occurred:\n\t* requested version for signing is higher than the latest key version\n\n',
      'key_not_found',
    ],
    ['a missing context', 400, "missing 'context' for key derivation; the key was created", 'bad_request'],
    ['a method that is not there', 405, '1 error occurred:\n\t* unsupported operation\n\n', 'bad_request'],
    ['too large a body', 413, 'request body too large', 'bad_request'],
    ['a quota', 429, 'rate limit quota exceeded', 'throttled'],
    ['a replica that lags', 412, 'required index state not present', 'network'],
    ['a seal', 503, 'Vault is sealed', 'network'],
    ['no leader', 500, 'local node not active but active cluster node not found', 'network'],
    ['a standby that redirects', 307, undefined, 'network'],
    ['a broken server', 500, 'internal error', 'network'],
    ['a gateway', 502, undefined, 'network'],
    ['a gateway that gave up', 504, undefined, 'network'],
    ['a refusal that is new to us', 418, undefined, 'bad_request'],
  ] as const
  for (const [name, status, text, kmsClass] of table) {
    test(`${name}: HTTP ${status} is ${kmsClass}`, () => {
      const error = answerError('decrypt', text === undefined ? answer(status) : answer(status, text))
      expect(error).toMatchObject({ kmsClass, operation: 'decrypt' })
      expect(error.providerMessage).toContain(`HTTP ${status}`)
      if (text !== undefined)
        expect(error.providerMessage).toContain(text.replaceAll(/\s+/g, ' ').trim().slice(0, 40))
    })
  }

  test('a pause that the server asks for is kept', () => {
    const error = answerError('encrypt', { status: 429, retryAfterMs: 7_000, body: undefined })
    expect(error.retryAfterMs).toBe(7_000)
  })
})

describe('texts', () => {
  test('what is not Vault’s own list of texts is not quoted', () => {
    for (const body of [
      undefined,
      null,
      'secret',
      ['secret'],
      { errors: 'secret' },
      { errors: [{ a: 'secret' }, 7] },
    ]) {
      const error = answerError('encrypt', { status: 500, retryAfterMs: undefined, body })
      expect(error.logText).not.toContain('secret')
      expect(error.providerMessage).toBe("HTTP 500 without a text of Vault's")
    }
  })

  const secrets = {
    'a data key': 'd/rEkTUwWwYGk1BOeG9pJ94v79yYu9/oj+FXFOwE/+g=',
    'a service token': `hvs.${'CAESIJ'.repeat(12)}`,
    'a token of OpenBao': `s.${'aZ09_-'.repeat(4)}`,
    'a batch token': `hvb.${'AAAAAQ'.repeat(12)}`,
    'a service account token': `eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzaG9wIn0.${'Aa-_'.repeat(20)}`,
  }
  for (const [name, text] of Object.entries(secrets)) {
    test(`${name} that a server echoes is not passed on`, () => {
      const error = answerError('encrypt', answer(400, `cannot use ${text} here`))
      expect(error.providerMessage).not.toContain(text.slice(4, 24))
      expect(error.providerMessage).toContain('cannot use [redacted] here')
    })
  }

  test('names of mounts and keys stay readable', () => {
    const text =
      'no handler for route "team-payments/transit/decrypt/tenant-acme-master-key_2026.v1". not found.'
    expect(tidy(text)).toBe(text)
  })

  test('every text becomes one line of bounded length', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'aé\n\r\t\0\u2028 .='), maxLength: 2_000 }),
        (text) => {
          const line = tidy(text)
          return line.length <= 300 && !/[\p{Cc}]/u.test(line)
        },
      ),
    )
  })
})

test('fields of what came as JSON are its own, and of the type asked for', () => {
  expect(field({ a: 1 }, 'a')).toBe(1)
  for (const value of [undefined, null, 7, 'text']) expect(field(value, 'length')).toBe(undefined)
  expect(field({}, '__proto__')).toBe(undefined)
  expect(field({}, 'constructor')).toBe(undefined)
  expect(textField({ a: 1 }, 'a')).toBe(undefined)
  expect(numberField({ a: '1' }, 'a')).toBe(undefined)
  expect(numberField(JSON.parse('{"a":1e999}'), 'a')).toBe(undefined)
})
