// What runbooks of earlier versions grep the log for is found, whichever key service failed.
import { DisabledException, KMSInvalidStateException } from '@aws-sdk/client-kms'
import { describe, expect, test } from 'vitest'
import { asAwsKmsError } from '../../../src/kms/aws/errors.ts'
import { KMS_CLASSES, type KmsClass, KmsError } from '../../../src/kms/kms.ts'

const GREPS: Readonly<Partial<Record<KmsClass, readonly string[]>>> = {
  access_denied: ['AccessDenied'],
  key_disabled: ['DisabledException', 'KMSInvalidStateException'],
  throttled: ['ThrottlingException'],
  network: ['NetworkException'],
  timeout: ['Timeout: No response after 5000ms'],
}

describe.each(Object.keys(KMS_CLASSES) as KmsClass[])('%s', (kmsClass) => {
  const said = kmsClass === 'timeout' ? 'No response after 5000ms' : 'in other words'
  const { logText } = new KmsError(kmsClass, 'decrypt', said)

  test.each(GREPS[kmsClass] ?? [])('its line has %s', (pattern) => {
    expect(logText).toContain(pattern)
  })

  test('its line has no other class’s words', () => {
    const others = Object.entries(GREPS).filter(([other]) => other !== kmsClass)
    for (const pattern of others.flatMap(([, patterns]) => patterns)) expect(logText).not.toContain(pattern)
  })

  test('the line begins with KmsException and the class, and names its section', () => {
    expect(logText).toContain(`KmsException ${kmsClass} in decrypt: `)
    expect(logText).toContain(`(see docs/runbooks/kms-provider-failure.md#${kmsClass.replaceAll('_', '-')})`)
  })
})

test('a host name that does not resolve is an UnknownHostException too', () => {
  expect(new KmsError('network', 'decrypt', 'ENOTFOUND: getaddrinfo').logText).toContain(
    'UnknownHostException',
  )
  expect(new KmsError('network', 'decrypt', 'ECONNREFUSED').logText).not.toContain('UnknownHostException')
})

test.each([
  new DisabledException({ message: 'arn:aws:kms:eu-west-1:1:key/a is disabled.', $metadata: {} }),
  new KMSInvalidStateException({
    message: 'arn:aws:kms:eu-west-1:1:key/a is pending deletion.',
    $metadata: {},
  }),
])('what AWS said stands once, and the other name beside it: $name', (thrown) => {
  const { logText } = asAwsKmsError(thrown, 'decrypt', 5_000)
  for (const pattern of ['DisabledException', 'KMSInvalidStateException'])
    expect(logText.split(pattern)).toHaveLength(2)
  expect(logText).toContain(`${thrown.name}: ${thrown.message}`)
})
