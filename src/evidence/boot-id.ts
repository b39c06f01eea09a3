import { randomFillSync } from 'node:crypto'

/** A UUID version 7 (RFC 9562 §5.7), 16 bytes: boots of one folder sort by their time. */
export function newBootId(nowMs: number): Uint8Array {
  const id = randomFillSync(Buffer.alloc(16))
  id.writeUIntBE(nowMs, 0, 6)
  id[6] = 0x70 | (id[6]! & 0x0f)
  id[8] = 0x80 | (id[8]! & 0x3f)
  return id
}
