import { expect, test } from 'vitest'
import { withOneActive } from '../../../../src/keys/records/key-history.ts'
import type { KeyRecord } from '../../../../src/keys/records/key-record.ts'

const record = (tenant: string, id: string, endorsedBy = ''): KeyRecord => ({
  tenant,
  id,
  provider: 'local',
  masterKeyId: 'local:a',
  wrappedKey: Buffer.of(1),
  publicKey: Buffer.alloc(32),
  createdMs: 1,
  notAfterMs: undefined,
  status: 'ACTIVE',
  endorsedBy,
  endorsement: Buffer.alloc(0),
})

test.each([
  ['b c', 'a', 'c', 'a b'],
  ['c', 'a b', 'b c', 'a'],
  ['b/c', 'a', 'c', 'a/b'],
  ['c","a', 'b', 'c', 'a","b'],
])('a successor in %j of %j ends no key of %j with the id %j', (tenant, endorsedBy, other, id) => {
  const records = [record(other, id), record(tenant, 'newer', endorsedBy)]
  expect(withOneActive(records)).toEqual(records)
})

test('a key that has a successor is over', () => {
  const [first, second] = withOneActive([record('b c', 'a'), record('b c', 'newer', 'a')])
  expect([first?.status, second?.status]).toEqual(['ROTATED', 'ACTIVE'])
})
