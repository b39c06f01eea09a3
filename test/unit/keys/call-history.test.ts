import { expect, test } from 'vitest'
import { CallHistory } from '../../../src/keys/call-history.ts'
import { KmsError } from '../../../src/keys/kms.ts'

test('the newest failure is the one told last, also after the clock was set back', () => {
  const history = new CallHistory()
  const failed = (kmsClass: 'access_denied' | 'network', atMs: number): void => {
    const operation = kmsClass === 'network' ? 'decrypt' : 'generate_data_key'
    history.failed(operation, { error: new KmsError(kmsClass, operation, 'no'), purpose: 'pii', atMs })
  }
  failed('access_denied', 2_000)
  failed('network', 1_000)
  expect(history.last?.error.kmsClass).toBe('network')
  failed('access_denied', 1_500)
  expect(history.last?.error.kmsClass).toBe('access_denied')
  failed('network', 500)
  expect(history.lastFor('pii')?.error.kmsClass).toBe('network')
})
