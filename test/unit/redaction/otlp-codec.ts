// Builds requests and reads them back with protobufjs and the .proto files of a development dependency, so that what
// these tests see is what any other OTLP implementation sees.

import type { Signal } from '../../../src/wire/otlp.ts'
import { read, requestType, root } from '../wire/oracle.ts'

const anyValueType = root.lookupType('opentelemetry.proto.common.v1.AnyValue')

/** OTLP as plain objects, the way protobufjs writes it. */
export type Plain = Record<string, unknown>

export function encode(signal: Signal, request: Plain): Uint8Array {
  const type = requestType[signal]
  return type.encode(type.fromObject(request)).finish()
}

export function decode(signal: Signal, body: Uint8Array): Plain {
  return read(signal, body)
}

export function encodeAnyValue(value: Plain): Uint8Array {
  return anyValueType.encode(anyValueType.fromObject(value)).finish()
}

export function decodeAnyValue(bytes: Uint8Array): Plain {
  return anyValueType.toObject(anyValueType.decode(bytes), { longs: String, bytes: String })
}

export const kv = (key: string, value: Plain): Plain => ({ key, value })
export const str = (stringValue: string): Plain => ({ stringValue })

/** One span with these attributes. */
export function traceRequest(
  attributes: readonly Plain[],
  span: Plain = {},
  resource: readonly Plain[] = [],
): Uint8Array {
  return encode('traces', {
    resourceSpans: [
      {
        resource: { attributes: resource },
        scopeSpans: [
          {
            scope: { name: 'scope', version: '1' },
            spans: [
              {
                traceId: new Uint8Array(16).fill(1),
                spanId: new Uint8Array(8).fill(2),
                name: 'op',
                attributes,
                ...span,
              },
            ],
          },
        ],
      },
    ],
  })
}

interface DecodedSpan {
  readonly attributes?: readonly { readonly key: string; readonly value?: Plain }[]
  readonly [field: string]: unknown
}

export function firstSpan(body: Uint8Array): DecodedSpan {
  const request = decode('traces', body) as { resourceSpans: { scopeSpans: { spans: DecodedSpan[] }[] }[] }
  return request.resourceSpans[0]!.scopeSpans[0]!.spans[0]!
}

/** Attributes of the first span, by key. */
export function spanAttributes(body: Uint8Array): ReadonlyMap<string, Plain | undefined> {
  return new Map((firstSpan(body).attributes ?? []).map(({ key, value }) => [key, value]))
}

/** Attributes of the first resource, by key. */
export function resourceAttributes(signal: Signal, body: Uint8Array): ReadonlyMap<string, Plain | undefined> {
  const request = decode(signal, body)
  const [group] = Object.values(request)[0] as {
    resource?: { attributes?: { key: string; value?: Plain }[] }
  }[]
  return new Map((group?.resource?.attributes ?? []).map(({ key, value }) => [key, value]))
}
