// CRC-32C (Castagnoli, RFC 3720 appendix B.4). node:zlib has only the CRC-32 of gzip, whose polynomial is another one.

const POLYNOMIAL_REVERSED = 0x82f63b78
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte
  for (let bit = 0; bit < 8; bit++) {
    remainder = remainder & 1 ? (remainder >>> 1) ^ POLYNOMIAL_REVERSED : remainder >>> 1
  }
  return remainder
})

/** The checksum as Cloud KMS takes and gives it: 0 to 2^32-1. */
export function crc32c(bytes: Uint8Array): number {
  let checksum = 0xffffffff
  for (const byte of bytes) checksum = TABLE[(checksum ^ byte) & 0xff]! ^ (checksum >>> 8)
  return ~checksum >>> 0
}
