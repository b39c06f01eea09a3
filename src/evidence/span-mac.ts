// hmac-sha256 (proto/evidence.md §7): each span on its own, for closed systems that share a secret.
import { createHmac, type KeyObject } from 'node:crypto'
import { lengthPrefixed, utf8 } from '../formats/key-context.ts'
import { type Coverage, encodeCoverage, pae } from './statement.ts'

/** PAE's type of a span's MAC; another than a statement's, so that neither can pass for the other. */
export const SPAN_MAC_TYPE = 'application/vnd.betrace.evidence.span-mac.v1'

/** What the MAC covers beside the span itself. */
export interface MacFacts {
  readonly keyId: string
  readonly timeNs: bigint
  readonly tenant: string
  readonly coverage: Coverage
}

export function macMessage({ keyId, timeNs, tenant, coverage }: MacFacts, leaf: Uint8Array): Uint8Array {
  const time = Buffer.alloc(8)
  time.writeBigUInt64BE(BigInt.asUintN(64, timeNs))
  return Buffer.concat([
    lengthPrefixed(utf8(keyId)),
    time,
    lengthPrefixed(utf8(tenant)),
    lengthPrefixed(encodeCoverage(coverage)),
    leaf,
  ])
}

export function spanMac(secret: KeyObject, facts: MacFacts, leaf: Uint8Array): Uint8Array {
  return createHmac('sha256', secret)
    .update(pae(SPAN_MAC_TYPE, macMessage(facts, leaf)))
    .digest()
}
