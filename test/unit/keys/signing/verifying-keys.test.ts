import { expect, test } from 'vitest'
import { ownKeys } from '../../../../src/keys/signing/verifying-keys.ts'
import { build, never } from '../keys-fixture.ts'

const ALGORITHM = 'ed25519-merkle-v1'

test('a sidecar says of its own keys who vouches for them, also after one was revoked', async () => {
  const { keys, revoke } = await build()
  const lookup = ownKeys(keys, new Map())
  const endorsementOf = (keyId: string) => lookup(keyId, 'acme', ALGORITHM)?.endorsement
  const first = await keys.loadSigningKey('acme', never)
  await keys.rotate('acme', 'requested', never)
  const second = keys.signingKey('acme')!
  expect([first, second].map(({ keyId }) => endorsementOf(keyId))).toEqual(['first', 'endorsed'])
  await revoke('acme', first.keyId)
  expect(endorsementOf(second.keyId)).toBe('endorser_revoked')
  expect(lookup(first.keyId, 'acme', ALGORITHM)).toMatchObject({ isRevoked: true })
  const third = await keys.loadSigningKey('acme', never)
  expect(endorsementOf(third.keyId)).toBe('first')
  expect(lookup(third.keyId, 'other', ALGORITHM)).toBeUndefined()
})
