import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32c } from '../../../../src/kms/gcp/crc32c.ts'

const ascending = Uint8Array.from({ length: 32 }, (_, index) => index)

test.each([
  ['nothing', new Uint8Array(0), 0],
  ['32 zeros (RFC 3720)', new Uint8Array(32), 0x8a9136aa],
  ['32 ones (RFC 3720)', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['ascending (RFC 3720)', ascending, 0x46dd794e],
  ['descending (RFC 3720)', Uint8Array.from(ascending).reverse(), 0x113fdb5c],
  ['the check value of the catalogue', Buffer.from('123456789'), 0xe3069283],
])('checksum of %s', (_, bytes, checksum) => {
  expect(crc32c(bytes)).toBe(checksum)
})

test('any flipped bit changes the checksum', () => {
  const flips = fc
    .uint8Array({ minLength: 1, maxLength: 200 })
    .chain((bytes) => fc.tuple(fc.constant(bytes), fc.nat(bytes.length * 8 - 1)))
  fc.assert(
    fc.property(flips, ([bytes, bit]) => {
      const flipped = Uint8Array.from(bytes)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      return crc32c(flipped) !== crc32c(bytes)
    }),
  )
})
