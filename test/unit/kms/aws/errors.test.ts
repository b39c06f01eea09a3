import { inspect } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { asAwsKmsError } from '../../../../src/kms/aws/errors.ts'
import { KMS_CLASSES, type KmsClass, KmsError } from '../../../../src/kms/kms.ts'
import { type Answer, ARN, AwsAnswers, failure, json, SECRET_KEY } from './answers.ts'

const never = new AbortController().signal
const context = { tenantId: 'acme', purpose: 'pii' } as const
let server: AwsAnswers

beforeAll(async () => {
  server = await AwsAnswers.start(() => json({}))
})
afterAll(() => server.close())

async function failed(answer: Answer): Promise<KmsError> {
  server.answer = () => answer
  const kms = await server.open()
  const thrown: unknown = await kms
    .unwrap(Buffer.from('wrapped'), ARN, context, never)
    .catch((error) => error)
  await kms.close()
  expect(thrown).toBeInstanceOf(KmsError)
  return thrown as KmsError // asserted the line above
}

const DENIED =
  'User: arn:aws:sts::111122223333:assumed-role/betrace/i-0abc is not authorized to perform: kms:Decrypt on resource: ' +
  `${ARN} because no identity-based policy allows the kms:Decrypt action`

const ANSWERS: readonly (readonly [status: number, name: string, message: string, kmsClass: KmsClass])[] = [
  [400, 'AccessDeniedException', DENIED, 'access_denied'],
  [400, 'SomethingNewException', DENIED, 'access_denied'],
  [
    400,
    'UnrecognizedClientException',
    'The security token included in the request is invalid.',
    'access_denied',
  ],
  [400, 'ExpiredTokenException', 'The security token included in the request is expired', 'access_denied'],
  [400, 'MissingAuthenticationTokenException', 'Missing Authentication Token', 'access_denied'],
  [400, 'IncompleteSignatureException', 'no Signature', 'access_denied'],
  [403, 'ForbiddenBySomeProxy', 'no', 'access_denied'],
  [401, 'Unauthorized', 'no', 'access_denied'],
  [400, 'DisabledException', `${ARN} is disabled.`, 'key_disabled'],
  [400, 'KMSInvalidStateException', `${ARN} is pending deletion.`, 'key_disabled'],
  [400, 'NotFoundException', `Key '${ARN}' does not exist`, 'key_not_found'],
  [400, 'InvalidArnException', 'Invalid arn', 'key_not_found'],
  [400, 'InvalidKeyId', 'Invalid keyId', 'key_not_found'],
  [400, 'ThrottlingException', 'Rate exceeded', 'throttled'],
  [400, 'LimitExceededException', 'too many', 'throttled'],
  [400, 'SomethingNewException', 'Rate exceeded', 'throttled'],
  [429, 'SomethingNewException', 'slower please', 'throttled'],
  [503, 'SlowDown', 'Please reduce your request rate.', 'throttled'],
  [500, 'KMSInternalException', 'internal', 'network'],
  [500, 'KeyUnavailableException', 'not now', 'network'],
  [503, 'ServiceUnavailableException', 'maintenance', 'network'],
  [502, 'SomethingNewException', 'bad gateway', 'network'],
  [500, 'DependencyTimeoutException', 'timed out while trying to fulfill', 'timeout'],
  [400, 'RequestTimeoutException', 'Your socket connection was not read', 'timeout'],
  [400, 'InvalidCiphertextException', '', 'invalid_ciphertext'],
  [400, 'IncorrectKeyException', 'The key ID in the request does not identify', 'invalid_ciphertext'],
  [400, 'ValidationException', '1 validation error detected', 'bad_request'],
  [400, 'InvalidKeyUsageException', 'SIGN_VERIFY', 'bad_request'],
  [400, 'UnsupportedOperationException', 'no', 'bad_request'],
  [400, 'SomethingNewException', 'what', 'bad_request'],
  [413, 'RequestEntityTooLarge', 'much', 'bad_request'],
]

describe('what the service answers', () => {
  for (const [status, name, message, kmsClass] of ANSWERS) {
    test(`${status} ${name} ${JSON.stringify(message.slice(0, 24))} is ${kmsClass}`, async () => {
      const error = await failed(failure(status, name, message))
      expect(error.kmsClass).toBe(kmsClass)
      expect(error.isRetryable).toBe(KMS_CLASSES[kmsClass].retryable)
      expect(error.operation).toBe('decrypt')
      expect(error.logText).toContain(`KmsException ${kmsClass} in decrypt: ${name}`)
    })
  }

  test('the message names who may not do what to which key', async () => {
    const { providerMessage } = await failed(failure(400, 'AccessDeniedException', DENIED))
    expect(providerMessage).toBe(`AccessDeniedException: ${DENIED}`)
  })

  const unreadable: Record<string, readonly [Answer, KmsClass]> = {
    'XML that is no refusal': [{ status: 403, body: '<Denied><Why>Because</Why></Denied>' }, 'access_denied'],
    'a refusal in XML that is cut off': [
      { status: 403, body: '<ErrorResponse><Error><Code>AccessDenied</Code><Message>User' },
      'access_denied',
    ],
    'good by its status, a refusal by its XML': [
      { status: 200, body: '<Error><Code>AccessDenied</Code><Message>nobody asked</Message></Error>' },
      'network',
    ],
    'an endless page': [{ status: 403, body: 'endless '.repeat(100_000) }, 'access_denied'],
    'an HTML page of a gateway': [{ status: 502, body: '<html>Bad Gateway</html>' }, 'network'],
    'an HTML page that claims to be good': [{ status: 200, body: '<html>log in</html>' }, 'network'],
    'half an object': [{ status: 200, body: '{"Plaintext":"c2VjcmV0IGtleSBvZiBzb21lYm9keSBlbH' }, 'network'],
    'a refusal without a name': [{ status: 400, body: '{"detail":"something"}' }, 'bad_request'],
    'a broken answer without a name': [{ status: 500, body: '{"detail":"something"}' }, 'network'],
    'an empty answer': [{ status: 200, body: '' }, 'network'],
    'an object without anything': [{ status: 200, body: '{}' }, 'network'],
  }
  for (const [name, [answer, kmsClass]] of Object.entries(unreadable)) {
    test(`${name} is ${kmsClass}, and the error quotes none of it`, async () => {
      const error = await failed(answer)
      expect(error.kmsClass).toBe(kmsClass)
      const everything = inspect(error, { depth: 12, showHidden: true })
      for (let at = 0; at + 8 <= answer.body.length; at += 4) {
        expect(everything).not.toContain(answer.body.slice(at, at + 8))
      }
    })
  }
})

describe('a refusal in XML, as moto and some gateways write', () => {
  const xml = (status: number, code: string, message: string): Answer => ({
    status,
    headers: { 'content-type': 'text/xml' },
    body: `<?xml version="1.0"?>\n<ErrorResponse><Errors><Error><Type>Sender</Type>\n<Code>${code}</Code>\n<Message>${message}</Message></Error></Errors></ErrorResponse>`,
  })
  test.each<[number, string, string, KmsClass]>([
    [403, 'AccessDenied', DENIED, 'access_denied'],
    [400, 'SomethingNew', DENIED, 'access_denied'],
    [403, 'InvalidClientTokenId', 'The security token included in the request is invalid.', 'access_denied'],
    [503, 'SlowDown', 'Please reduce your request rate.', 'throttled'],
    [400, 'SomethingNew', 'Rate exceeded', 'throttled'],
  ])('%s %s keeps its code and its message', async (status, code, message, kmsClass) => {
    const error = await failed(xml(status, code, message))
    expect(error).toMatchObject({ kmsClass, providerMessage: `${code}: ${message}` })
  })

  test('reads the entities of XML, and leaves out what may be a key', async () => {
    const error = await failed(xml(403, 'AccessDenied', `&quot;a&quot; &lt; b &amp;lt; ${SECRET_KEY}\nmore`))
    expect(error.providerMessage).toBe('AccessDenied: "a" < b &lt; [redacted]')
  })

  test('an object without a name keeps its message', async () => {
    const error = await failed({ status: 400, body: JSON.stringify({ message: DENIED }) })
    expect(error).toMatchObject({ kmsClass: 'access_denied', providerMessage: DENIED })
  })
})

describe('secrets in a message', () => {
  const secrets = {
    'a key in base64': `Plaintext ${Buffer.alloc(32, 0x5a).toString('base64')} refused`,
    'a secret access key': `secret ${SECRET_KEY}`,
    'an access key id': 'key AKIAIOSFODNN7EXAMPLE is unknown',
    'a session token': `token FwoGZXIvYXdzE${'Ab0/'.repeat(40)} expired`,
    'a key in hexadecimal': `key ${'0af9'.repeat(16)} refused`,
  }
  for (const [name, message] of Object.entries(secrets)) {
    test(`${name} is left out`, async () => {
      const error = await failed(failure(400, 'ValidationException', message))
      expect(error.providerMessage).toContain('[redacted]')
      const longest = message.split(' ').sort((a, b) => b.length - a.length)[0]!
      expect(inspect(error, { depth: 12, showHidden: true })).not.toContain(longest)
    })
  }

  test('a message of many lines is cut to its first, and to 500 characters', async () => {
    const text = `The request signature we calculated does not match\n\nThe Canonical String was x-amz-security-token:abc`
    const error = await failed(failure(403, 'SignatureDoesNotMatch', text))
    expect(error.providerMessage).toBe(
      'SignatureDoesNotMatch: The request signature we calculated does not match',
    )
    const long = await failed(failure(400, 'ValidationException', 'many words '.repeat(1_000)))
    expect(long.providerMessage.length).toBeLessThan(600)
  })
})

test('whatever is thrown becomes one line of one class, and what looks like a key is not in it', () => {
  const secret = fc
    .uint8Array({ minLength: 32, maxLength: 64 })
    .map((bytes) => Buffer.from(bytes).toString('base64'))
  const word = fc.constantFrom(
    '',
    ' ',
    '\n',
    '"',
    'Rate exceeded',
    'arn:aws:kms:',
    'not authorized to perform',
  )
  const thrown = fc.record(
    {
      name: fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.constantFrom('ThrottlingException', 'TimeoutError', 'SyntaxError'),
      ),
      code: fc.oneof(fc.string({ unit: 'binary' }), fc.integer()),
      $fault: fc.constantFrom('client', 'server'),
      $metadata: fc.record({ httpStatusCode: fc.integer({ min: 0, max: 600 }) }),
      $response: fc.anything(),
      $retryable: fc.record({ throttling: fc.boolean() }),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(thrown, word, secret, word, (error, before, key, after) => {
      const kmsError = asAwsKmsError({ ...error, message: `${before} ${key} ${after}` }, 'decrypt', 5_000)
      expect(Object.keys(KMS_CLASSES)).toContain(kmsError.kmsClass)
      expect(kmsError.logText).not.toMatch(/[\r\n]/)
      expect(kmsError.logText).not.toContain(key)
      expect(kmsError.logText.length).toBeLessThan(1_500)
    }),
  )
  fc.assert(fc.property(fc.anything(), (error) => asAwsKmsError(error, 'decrypt', 5_000) instanceof KmsError))
})

describe('what never came from the service', () => {
  const coded = (code: string, name = 'Error'): Error =>
    Object.assign(new Error(`failed with ${code}`), { code, name })
  const thrown: readonly (readonly [string, unknown, KmsClass, RegExp])[] = [
    ['a name that does not resolve', coded('ENOTFOUND'), 'network', /^ENOTFOUND: failed/],
    ['a refused connection', coded('ECONNREFUSED'), 'network', /^ECONNREFUSED/],
    [
      'several refused addresses',
      Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' }),
      'network',
      /^ECONNREFUSED/,
    ],
    ['a reset that the SDK calls a timeout', coded('ECONNRESET', 'TimeoutError'), 'network', /^ECONNRESET/],
    ['a broken pipe that the SDK calls a timeout', coded('EPIPE', 'TimeoutError'), 'network', /^EPIPE/],
    ['a certificate out of date', coded('CERT_HAS_EXPIRED'), 'network', /^CERT_HAS_EXPIRED/],
    ['a self-signed certificate', coded('DEPTH_ZERO_SELF_SIGNED_CERT'), 'network', /^DEPTH_ZERO/],
    ['a TLS alert', coded('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'), 'network', /^ERR_SSL/],
    ['a timeout of the system', coded('ETIMEDOUT'), 'timeout', /^No response after 5000ms$/],
    ['a timeout of the SDK', coded('ETIMEDOUT', 'TimeoutError'), 'timeout', /^No response after 5000ms$/],
    [
      'a connection that was not made in time',
      Object.assign(
        new Error('did not establish a connection with the server within the configured timeout of 1000 ms.'),
        { name: 'TimeoutError' },
      ),
      'timeout',
      /^No connection after 1000ms$/,
    ],
    [
      'an abort',
      new DOMException('This operation was aborted', 'AbortError'),
      'timeout',
      /^gave up waiting$/,
    ],
    [
      'credentials that cannot be had',
      Object.assign(new Error('Could not load credentials from any providers'), {
        name: 'CredentialsProviderError',
      }),
      'network',
      /^CredentialsProviderError: Could not load credentials/,
    ],
    ['a bug', new TypeError('x is not a function'), 'bad_request', /^unexpected failure of the SDK$/],
    ['no error at all', undefined, 'bad_request', /^unexpected failure of the SDK$/],
    ['a string', 'secret', 'bad_request', /^unexpected failure of the SDK$/],
  ]
  for (const [name, what, kmsClass, message] of thrown) {
    test(`${name} is ${kmsClass}`, () => {
      const error = asAwsKmsError(what, 'encrypt', 5_000)
      expect(error.kmsClass).toBe(kmsClass)
      expect(error.providerMessage).toMatch(message)
      expect(error.operation).toBe('encrypt')
    })
  }

  test('an error that is ours already stays as it is', () => {
    const ours = new KmsError('key_disabled', 'sign', 'x')
    expect(asAwsKmsError(ours, 'encrypt', 1)).toBe(ours)
  })
})
