// Which batches a queue entry holds (BatchRefs in proto/evidence.proto), so that a tombstone can be signed for it later,
// also by another process after a restart.
import { SidecarError } from '../base/errors.ts'
import { Fields, readUint64 } from '../wire/reader.ts'
import { Writer } from '../wire/write.ts'

export interface BatchRef {
  readonly tenant: string
  /** 16 bytes. */
  readonly bootId: Uint8Array
  readonly number: number
  readonly leafCount: number
}

/** No refs are no bytes. */
export function encodeRefs(refs: readonly BatchRef[]): Uint8Array {
  const out = new Writer()
  for (const ref of refs) {
    const mark = out.open(1)
    out.string(1, ref.tenant)
    out.bytes(2, ref.bootId)
    out.tag(3, 0)
    out.varint(ref.number)
    out.tag(4, 0)
    out.varint(ref.leafCount)
    out.close(mark)
  }
  return out.finish()
}

/** Throws STORE_CORRUPT: these bytes were ours. */
export function decodeRefs(bytes: Uint8Array): BatchRef[] {
  try {
    const refs: BatchRef[] = []
    const fields = new Fields(bytes)
    while (fields.next()) if (fields.field === 1) refs.push(decodeRef(bytes, fields.start, fields.end))
    return refs
  } catch (cause) {
    throw new SidecarError('STORE_CORRUPT', 'batch references of a queue entry cannot be read', { cause })
  }
}

function decodeRef(bytes: Uint8Array, start: number, end: number): BatchRef {
  let tenant = ''
  let bootId: Uint8Array = new Uint8Array(0)
  let number = 0
  let leafCount = 0
  const fields = new Fields(bytes, start, end)
  while (fields.next()) {
    if (fields.field === 1) tenant = new TextDecoder().decode(bytes.subarray(fields.start, fields.end))
    else if (fields.field === 2) bootId = bytes.slice(fields.start, fields.end)
    else if (fields.field === 3) number = Number(readUint64(bytes, fields.start, fields.end))
    else if (fields.field === 4) leafCount = Number(readUint64(bytes, fields.start, fields.end))
  }
  return { tenant, bootId, number, leafCount }
}
