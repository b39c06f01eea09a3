// Test requests, made and re-marshalled with protobufjs from OTLP's own definitions.

import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { KeyLookup } from '../../../src/evidence/check.ts'
import type { SigningKey } from '../../../src/evidence/evidence.ts'
import { ed25519PublicKey } from '../../../src/formats/ed25519.ts'
import { signingKeyId } from '../../../src/formats/endorsement.ts'
import { requestType } from '../wire/oracle.ts'

const Request = requestType.traces

// biome-ignore lint/suspicious/noExplicitAny: a test writes and edits messages of any shape
export type Message = any

export function encode(request: Message): Uint8Array {
  return Request.encode(Request.fromObject(request)).finish()
}

/** As plain objects: ids and bytes are Uint8Arrays, 64-bit integers strings. */
export function decode(bytes: Uint8Array): Message {
  return Request.toObject(Request.decode(bytes), { longs: String, arrays: true })
}

export function attribute(key: string, value: Message): Message {
  if (typeof value === 'string') return { key, value: { stringValue: value } }
  if (typeof value === 'boolean') return { key, value: { boolValue: value } }
  return { key, value }
}

/** A span as instrumentation emits it; `index` varies it. */
export function span(index: number, more: Message[] = []): Message {
  const id = Buffer.alloc(8)
  id.writeUInt32BE(index + 1, 4)
  return {
    traceId: Buffer.concat([Buffer.from('5b8efff798038103', 'hex'), id]),
    spanId: id,
    parentSpanId: Buffer.from('eee19b7ec3c1b174', 'hex'),
    traceState: 'vendor=abc',
    name: `GET /orders/${index}`,
    kind: 2,
    startTimeUnixNano: '1700000000000000001',
    endTimeUnixNano: `17000000000${String(index).padStart(8, '0')}`,
    attributes: [
      attribute('http.request.method', 'GET'),
      attribute('url.path', `/orders/${index}`),
      attribute('http.response.status_code', { intValue: 200 }),
      attribute('latency', { doubleValue: 12.5 + index }),
      attribute('cached', false),
      attribute('tags', { arrayValue: { values: [{ stringValue: 'a' }, { intValue: -7 }] } }),
      attribute('nested', { kvlistValue: { values: [attribute('z', 'last'), attribute('a', 'first')] } }),
      attribute('raw', { bytesValue: Buffer.from([0, 1, 255]) }),
      ...more,
    ],
    events: [
      {
        timeUnixNano: '1700000000000000005',
        name: 'exception',
        attributes: [attribute('exception.type', 'E')],
      },
      { timeUnixNano: '1700000000000000006', name: 'retry' },
    ],
    links: [
      { traceId: Buffer.alloc(16, 7), spanId: Buffer.alloc(8, 9), attributes: [attribute('why', 'batch')] },
    ],
    status: { code: 2, message: 'failed' },
    flags: 257,
  }
}

export const compliant = attribute('compliance.control', 'CC6.1')

export function request(spans: Message[], service = 'shop'): Message {
  return { resourceSpans: [resourceSpans(spans, service)] }
}

export function resourceSpans(spans: Message[], service = 'shop'): Message {
  return {
    resource: { attributes: [attribute('service.name', service), attribute('host.name', 'node-1')] },
    scopeSpans: [{ scope: { name: 'lib', version: '1.2.3' }, spans }],
  }
}

export interface TestKey extends SigningKey {
  readonly publicKey: Uint8Array
}

/** Without an id of the test's own it has its real one, as lists demand. */
export function testKey(keyId?: string): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const raw = rawPublicKey(publicKey)
  return { keyId: keyId ?? signingKeyId(raw), privateKey, publicKey: raw }
}

export function rawPublicKey(publicKey: KeyObject): Uint8Array {
  return Buffer.from(publicKey.export({ format: 'jwk' }).x as string, 'base64url') // an OKP key has x
}

export function lookup(...keys: readonly TestKey[]): KeyLookup {
  const byId = new Map(
    keys.map((key) => [
      key.keyId,
      { algorithm: 'ed25519-merkle-v1' as const, key: ed25519PublicKey(key.publicKey) },
    ]),
  )
  return (keyId) => byId.get(keyId)
}

export const BOOT_ID = Buffer.from('0192f0c1d2e37000a000000000000001', 'hex')
export const NOW_NS = 1_732_345_678_901_234_567n
