import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { gcpError } from '../../../../src/kms/gcp/errors.ts'
import type { KmsClass } from '../../../../src/kms/kms.ts'

const TABLE: readonly (readonly [name: string, code: number, details: string, kmsClass: KmsClass])[] = [
  ['CANCELLED by the server', 1, 'Call cancelled', 'network'],
  ['UNKNOWN', 2, 'Stream removed', 'network'],
  ['DEADLINE_EXCEEDED', 4, 'Deadline exceeded', 'timeout'],
  ['NOT_FOUND', 5, 'CryptoKey projects/p/x not found.', 'key_not_found'],
  ['ALREADY_EXISTS', 6, 'There is one', 'bad_request'],
  ['PERMISSION_DENIED', 7, "Permission 'cloudkms.useToEncrypt' denied on resource", 'access_denied'],
  ['RESOURCE_EXHAUSTED', 8, 'Quota exceeded', 'throttled'],
  ['FAILED_PRECONDITION', 9, 'x is not enabled, current state is: DISABLED.', 'key_disabled'],
  ['ABORTED', 10, 'try again', 'network'],
  ['UNIMPLEMENTED', 12, 'no such method', 'bad_request'],
  ['INTERNAL', 13, 'Internal error encountered.', 'network'],
  ['UNAVAILABLE', 14, 'connect ECONNREFUSED 127.0.0.1:1', 'network'],
  ['DATA_LOSS', 15, 'lost', 'network'],
  ['UNAUTHENTICATED', 16, 'Request had invalid authentication credentials.', 'access_denied'],
  ['no token to be had', 16, 'Getting metadata from plugin failed with error: invalid_grant', 'network'],
]

test.each(TABLE)('%s', (_, code, details, kmsClass) => {
  const error = gcpError(Object.assign(new Error('3 X: y'), { code, details }), 'encrypt')
  expect(error.kmsClass).toBe(kmsClass)
  expect(error.operation).toBe('encrypt')
  expect(error.providerMessage).toBe(`${details} (gRPC status ${code})`)
  expect(error.cause).toBeUndefined()
})

test('an invalid argument is the ciphertext’s fault when we decrypt, and ours otherwise', () => {
  const thrown = {
    code: 3,
    details: "Decryption failed: verify that 'name' refers to the correct CryptoKey.",
  }
  expect(gcpError(thrown, 'decrypt').kmsClass).toBe('invalid_ciphertext')
  expect(gcpError(thrown, 'encrypt').kmsClass).toBe('bad_request')
})

test('a request that the service found damaged is sent again, not called an invalid ciphertext', () => {
  const texts = ['The checksum does not match.', 'Field ciphertext_crc32c does not match the data.']
  for (const details of texts) {
    for (const operation of ['decrypt', 'encrypt']) {
      expect(gcpError({ code: 3, details }, operation).kmsClass).toBe('network')
    }
  }
})

test('a wait that the service asked for is passed on, whole seconds and parts', () => {
  const withDelay = (retryDelay: unknown): number | undefined =>
    gcpError({ code: 8, details: 'Quota', statusDetails: [{ reason: 'X' }, { retryDelay }] }, 'encrypt')
      .retryAfterMs
  expect(withDelay({ seconds: '2', nanos: 500_000_000 })).toBe(2_500)
  expect(withDelay({ seconds: 0, nanos: 1 })).toBe(1)
  expect(withDelay({ seconds: 'x' })).toBeUndefined()
  expect(withDelay({ seconds: -1 })).toBeUndefined()
  expect(gcpError({ code: 8, details: 'Quota', statusDetails: 'x' }, 'encrypt').retryAfterMs).toBeUndefined()
})

test('what never was an answer is a network failure', () => {
  const thrown = [
    new Error('Could not load the default credentials.'),
    undefined,
    null,
    'text',
    { code: 'ENOENT' },
    { code: 400, message: 'invalid_grant' },
  ]
  for (const each of thrown) expect(gcpError(each, 'encrypt').kmsClass).toBe('network')
  expect(gcpError(thrown[0], 'encrypt').providerMessage).toContain('Could not load the default credentials.')
})

test('tokens, keys, headers and line breaks stay out of the error', () => {
  const key = Buffer.alloc(32, 0xa5).toString('base64')
  const details = `line one\n\tline two ${key} eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln and more ${'x '.repeat(400)}`
  const thrown = Object.assign(new Error(details), {
    code: 14,
    details,
    metadata: { authorization: 'Bearer t0ken' },
  })
  const error = gcpError(thrown, 'encrypt')
  const everything = inspect(error, { depth: 9, showHidden: true })
  for (const secret of [key.slice(0, 20), 'eyJ', 'c2ln', 't0ken']) expect(everything).not.toContain(secret)
  expect(error.providerMessage).toMatch(/^line one line two \[redacted\] \[redacted\] and more x/)
  expect(error.providerMessage.length).toBeLessThan(340)
})
