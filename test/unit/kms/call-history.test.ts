import { expect, test } from 'vitest'
import { CallHistory, type CallKind } from '../../../src/kms/call-history.ts'
import { type KmsClass, KmsError } from '../../../src/kms/kms.ts'

const generate: CallKind = { operation: 'generate_data_key', purpose: 'pii', isOfOne: false }
const decrypt: CallKind = { operation: 'decrypt', purpose: 'pii', isOfOne: false }

const failed = (history: CallHistory, kind: CallKind, kmsClass: KmsClass, atMs = 0): void =>
  history.failed({ ...kind, tenant: 'acme', error: new KmsError(kmsClass, kind.operation, 'no'), atMs })

test('the newest failure is the one told last, also after the clock was set back', () => {
  const history = new CallHistory()
  failed(history, generate, 'access_denied', 2_000)
  failed(history, decrypt, 'network', 1_000)
  expect(history.last?.error.kmsClass).toBe('network')
  failed(history, generate, 'access_denied', 1_500)
  expect(history.last?.error.kmsClass).toBe('access_denied')
  failed(history, decrypt, 'network', 500)
  expect(history.lastFor(['pii'])?.error.kmsClass).toBe('network')
})

test('a refusal of the common key stands until it is used again, not until a key of a tenant alone is', () => {
  const history = new CallHistory()
  const ofOne = { ...generate, isOfOne: true }
  failed(history, generate, 'key_disabled')
  failed(history, ofOne, 'access_denied')
  expect(history.last?.error.kmsClass).toBe('access_denied')
  expect(history.lastFor(['pii'])?.error.kmsClass).toBe('key_disabled')
  history.succeeded(ofOne, 1)
  expect(history.last?.error.kmsClass).toBe('key_disabled')
  failed(history, ofOne, 'access_denied')
  history.succeeded(generate, 2)
  expect(history.last).toBeUndefined()
})
