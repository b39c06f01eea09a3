// hmac-sha256 (proto/evidence.md §7): each span on its own, for closed systems that share a secret.
import { createHmac, type KeyObject } from 'node:crypto'
import { pae } from './statement.ts'

/** PAE's type of a span's MAC; another than a statement's, so that neither can pass for the other. */
export const SPAN_MAC_TYPE = 'application/vnd.betrace.evidence.span-mac.v1'

/** What the MAC covers: key id, time and leaf. */
export function macMessage(keyId: string, timeNs: bigint, leaf: Uint8Array): Uint8Array {
  const id = Buffer.from(keyId)
  const message = Buffer.alloc(4 + id.length + 8 + leaf.length)
  message.writeUInt32BE(id.length)
  message.set(id, 4)
  message.writeBigUInt64BE(BigInt.asUintN(64, timeNs), 4 + id.length)
  message.set(leaf, 12 + id.length)
  return message
}

export function spanMac(secret: KeyObject, keyId: string, timeNs: bigint, leaf: Uint8Array): Uint8Array {
  return createHmac('sha256', secret)
    .update(pae(SPAN_MAC_TYPE, macMessage(keyId, timeNs, leaf)))
    .digest()
}
