// What Jaeger's query service answers, as OTLP/JSON: `/api/traces` in Jaeger's own model, `/api/v3/traces` in OTLP's with
// some spellings of its own. Jaeger keeps less than it was sent (microseconds, no drop counts, lists as text, attributes in
// an order of its own), so what comes out may differ from what was signed without anybody having touched it.

import { SidecarError } from '../../base/errors.ts'
import { expectOneReading } from '../../wire/json.ts'

type Json = Readonly<Record<string, unknown>>

/** Keys that such an answer begins with; no OTLP/JSON request does. */
const JAEGER_HEAD = /^\s*\{\s*"(?:data|result|total|limit|offset|errors)"\s*:/
const HEAD_BYTES = 256

/** Whether the bytes look like such an answer, by their beginning alone. */
export function looksLikeJaeger(bytes: Uint8Array): boolean {
  return JAEGER_HEAD.test(
    Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, HEAD_BYTES)).toString('latin1'),
  )
}

/**
 * One OTLP/JSON request of everything in the answer; `undefined` when it is no answer of Jaeger. Throws MALFORMED, also
 * where two readers could take different things from it.
 */
export function jaegerRequest(bytes: Uint8Array): Uint8Array | undefined {
  expectOneReading(bytes)
  const document: unknown = JSON.parse(
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'),
  )
  const { result, data, total: _t, limit: _l, offset: _o, errors: _e, ...others } = objectOf(document)
  const resourceSpans = Array.isArray(data) ? data.flatMap(traceOf) : resultOf(result)
  if (resourceSpans === undefined) return undefined
  const isTwofold = Array.isArray(data) && objectOf(result).resourceSpans !== undefined
  if (isTwofold || Object.values(others).some((other) => typeof other === 'object' && other !== null))
    throw new SidecarError('MALFORMED', 'is an answer of Jaeger with something else in it')
  return Buffer.from(JSON.stringify({ resourceSpans }))
}

// ---- /api/v3/traces

/** OTLP, but for ids in base64, which versions of Jaeger write. */
function resultOf(result: unknown): unknown[] | undefined {
  const { resourceSpans } = objectOf(result)
  if (!Array.isArray(resourceSpans)) return undefined
  return resourceSpans.map((each: unknown) => {
    const resource = objectOf(each)
    const scopeSpans = listOf(resource.scopeSpans).map((scope) => ({
      ...objectOf(scope),
      spans: listOf(objectOf(scope).spans).map((span) => plainSpan(objectOf(span))),
    }))
    return { ...resource, scopeSpans }
  })
}

function plainSpan(span: Json): Json {
  return {
    ...span,
    ...plainIds(span),
    ...(span.links !== undefined && {
      links: listOf(span.links).map((link) => ({ ...objectOf(link), ...plainIds(objectOf(link)) })),
    }),
  }
}

const ID_BYTES: Readonly<Record<string, number>> = { traceId: 16, spanId: 8, parentSpanId: 8 }

function plainIds(of: Json): Json {
  return Object.fromEntries(
    Object.entries(ID_BYTES).flatMap(([name, length]) => {
      const id = of[name]
      if (typeof id !== 'string' || /^(?:[0-9a-fA-F]{2})*$/.test(id)) return []
      const bytes = Buffer.from(id, 'base64')
      return bytes.length === length ? [[name, bytes.toString('hex')]] : []
    }),
  )
}

// ---- /api/traces

/** One ResourceSpans a span, so that its process and scope are its own. */
function traceOf(trace: unknown): unknown[] {
  const { spans, processes } = objectOf(trace)
  return listOf(spans).map((each) => {
    const span = objectOf(each)
    if (textOf(span.traceID) === '' || textOf(span.spanID) === '')
      throw new SidecarError('MALFORMED', 'has a span of Jaeger without its ids')
    const process = objectOf(objectOf(processes)[textOf(span.processID)])
    const tags = new Map(listOf(span.tags).map((tag) => [textOf(objectOf(tag).key), objectOf(tag)]))
    const taken = (key: string): string | undefined => {
      const tag = tags.get(key)
      tags.delete(key)
      return tag === undefined ? undefined : textOf(tag.value)
    }
    tags.delete('internal.span.format')
    const scope = {
      name: taken('otel.scope.name') ?? taken('otel.library.name') ?? '',
      version: taken('otel.scope.version') ?? taken('otel.library.version') ?? '',
    }
    const serviceName = textOf(process.serviceName)
    const service = serviceName === '' ? [] : [{ key: 'service.name', value: { stringValue: serviceName } }]
    const resource = { attributes: [...service, ...listOf(process.tags).map(attributeOf)] }
    return { resource, scopeSpans: [{ scope, spans: [spanOf(span, tags, taken)] }] }
  })
}

function spanOf(
  span: Json,
  tags: ReadonlyMap<string, Json>,
  taken: (key: string) => string | undefined,
): Json {
  const kind = KINDS.indexOf(taken('span.kind') ?? '')
  const code = ['', 'OK', 'ERROR'].indexOf(taken('otel.status_code') ?? '')
  const message = taken('otel.status_description') ?? ''
  // Jaeger adds it to every span whose status is an error.
  if (code === 2) taken('error')
  const traceState = taken('w3c.tracestate') ?? ''
  const references = listOf(span.references).map(objectOf)
  const parent = references.find(({ refType, traceID }) => refType === 'CHILD_OF' && traceID === span.traceID)
  const links = references.filter((reference) => reference !== parent)
  const startUs = microsecondsOf(span.startTime)
  return {
    traceId: padded(span.traceID, 32),
    spanId: padded(span.spanID, 16),
    ...(parent && { parentSpanId: padded(parent.spanID, 16) }),
    ...(traceState !== '' && { traceState }),
    ...(span.flags !== undefined && { flags: span.flags }),
    name: textOf(span.operationName),
    ...(kind > 0 && { kind }),
    startTimeUnixNano: String(startUs * 1_000n),
    endTimeUnixNano: String((startUs + microsecondsOf(span.duration)) * 1_000n),
    attributes: [...tags.values()].map(attributeOf),
    ...(span.logs !== undefined && { events: listOf(span.logs).map((log) => eventOf(objectOf(log))) }),
    links: links.map(({ traceID, spanID }) => ({ traceId: padded(traceID, 32), spanId: padded(spanID, 16) })),
    ...((code > 0 || message !== '') && { status: { code: Math.max(0, code), message } }),
  }
}

const KINDS = ['', 'internal', 'server', 'client', 'producer', 'consumer']

function eventOf({ timestamp, fields }: Json): Json {
  const all = listOf(fields).map(objectOf)
  const name = all.find(({ key }) => key === 'event' || key === 'message')
  return {
    timeUnixNano: String(microsecondsOf(timestamp) * 1_000n),
    name: textOf(name?.value),
    attributes: all.filter((field) => field !== name).map(attributeOf),
  }
}

function attributeOf(tag: unknown): Json {
  const { key, type, value } = objectOf(tag)
  return { key: textOf(key), value: anyValueOf(type, value) }
}

function anyValueOf(type: unknown, value: unknown): Json {
  switch (type) {
    case 'bool':
      return { boolValue: value === true || value === 'true' }
    case 'int64':
      return { intValue: String(value) }
    case 'float64':
      return { doubleValue: Number(value) }
    case 'binary':
      return { bytesValue: textOf(value) }
    default:
      return { stringValue: textOf(value) }
  }
}

/** Ids come without their leading zeros from some versions. */
const padded = (id: unknown, digits: number): string => textOf(id).padStart(digits, '0')

function microsecondsOf(value: unknown): bigint {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : 0n
}

function objectOf(value: unknown): Json {
  // Any object may be read by name; what is not there is undefined.
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {}
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : value == null ? '' : String(value)
