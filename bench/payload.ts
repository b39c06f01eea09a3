// Trace requests of the kind HTTP and SQL instrumentation emits: about 925 bytes and 19 attributes a span, values
// varied by a seeded generator, so that two runs measure the same bytes and no cache in the process flatters us.
import { Writer } from '../src/wire/write.ts'

export interface PayloadOptions {
  readonly spans: number
  readonly seed: number
  /** Every span also carries compliance attributes, so that it is selected for signing. */
  readonly compliance?: boolean
  /** So many attributes more on every span, of the kind that applications add. */
  readonly attributesMore?: number
}

const GIVEN = ['maria', 'jonas', 'aylin', 'pedro', 'wei', 'fatima', 'olga', 'samuel', 'ingrid', 'tomas']
const FAMILY = ['schneider', 'okafor', 'lindqvist', 'moreau', 'tanaka', 'ivanova', 'castillo', 'bauer']
const DOMAINS = ['example.com', 'mail.example.org', 'clinic.example.net', 'shop.example.co.uk']
const ROUTES = ['/api/v1/customers/search', '/api/v1/orders', '/checkout/confirm', '/patients/lookup']
const TABLES = ['customers', 'orders', 'patients', 'invoices']
const AGENTS = [
  'Mozilla/5.0 (X11; Linux x86_64) Chrome/130.0.0.0 Safari/537.36',
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/17.5',
  'okhttp/4.12.0 (android 14; build UP1A.231005.007)',
]
const START_NS = 1_760_000_000_000_000_000n

/** Mulberry32: small, seeded, and good enough to vary text. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

type Random = (below: number) => number

/** An encoded ExportTraceServiceRequest of one resource and two scopes; equal options give equal bytes. */
export function makeTraces(options: PayloadOptions): Uint8Array {
  const random = generator(options.seed)
  const writer = new Writer(options.spans * 1024 + 4096)
  const group = writer.open(1)
  writeResource(writer, random)
  const httpCount = Math.ceil(options.spans / 2)
  writeScope(writer, '@opentelemetry/instrumentation-http', httpCount, () =>
    writeHttpSpan(writer, random, options),
  )
  writeScope(writer, '@opentelemetry/instrumentation-pg', options.spans - httpCount, () =>
    writeSqlSpan(writer, random, options),
  )
  writer.close(group)
  return writer.finish().slice()
}

function writeResource(writer: Writer, random: Random): void {
  const mark = writer.open(1)
  text(writer, 1, 'service.name', 'checkout')
  text(writer, 1, 'service.namespace', 'shop')
  text(writer, 1, 'service.instance.id', hexText(random, 32))
  text(writer, 1, 'service.version', '3.14.1')
  text(writer, 1, 'telemetry.sdk.language', 'nodejs')
  text(writer, 1, 'host.name', `checkout-${hexText(random, 10)}`)
  writer.close(mark)
}

function writeScope(writer: Writer, name: string, count: number, writeSpan: () => void): void {
  if (count === 0) return
  const scope = writer.open(2)
  const mark = writer.open(1)
  writer.string(1, name)
  writer.string(2, '0.57.0')
  writer.close(mark)
  for (let i = 0; i < count; i++) writeSpan()
  writer.close(scope)
}

function writeHttpSpan(writer: Writer, random: Random, options: PayloadOptions): void {
  const route = pick(random, ROUTES)
  const span = beginSpan(writer, random, `GET ${route}`, 2)
  const email = emailOf(random)
  const query = `email=${encodeURIComponent(email)}&page=${random(40)}`
  text(writer, 9, 'http.request.method', 'GET')
  text(writer, 9, 'url.full', `https://${pick(random, DOMAINS)}${route}?${query}`)
  text(writer, 9, 'url.scheme', 'https')
  text(writer, 9, 'url.path', route)
  text(writer, 9, 'http.route', route)
  integer(writer, 'http.response.status_code', random(20) === 0 ? 500 : 200)
  text(writer, 9, 'network.protocol.version', '1.1')
  text(writer, 9, 'server.address', 'checkout.shop.svc')
  integer(writer, 'server.port', 8443)
  text(writer, 9, 'client.address', addressOf(random))
  integer(writer, 'client.port', 1024 + random(60_000))
  text(writer, 9, 'user_agent.original', pick(random, AGENTS))
  text(writer, 9, 'enduser.id', emailOf(random))
  text(writer, 9, 'db.query.text', sqlOf(random))
  integer(writer, 'http.request.body.size', random(9000))
  integer(writer, 'http.response.body.size', random(90_000))
  endSpan(writer, span, random, options)
}

function writeSqlSpan(writer: Writer, random: Random, options: PayloadOptions): void {
  const table = pick(random, TABLES)
  const span = beginSpan(writer, random, `SELECT shop.${table}`, 3)
  text(writer, 9, 'db.system.name', 'postgresql')
  text(writer, 9, 'db.namespace', 'shop')
  text(writer, 9, 'db.operation.name', 'SELECT')
  text(writer, 9, 'db.collection.name', table)
  text(writer, 9, 'db.query.text', sqlOf(random))
  text(writer, 9, 'db.query.summary', `SELECT ${table} JOIN orders`)
  integer(writer, 'db.response.returned_rows', random(200))
  text(writer, 9, 'server.address', 'postgres.shop.svc')
  integer(writer, 'server.port', 5432)
  text(writer, 9, 'network.peer.address', `10.42.${random(256)}.${random(256)}`)
  text(writer, 9, 'client.address', addressOf(random))
  text(writer, 9, 'enduser.id', emailOf(random))
  text(writer, 9, 'http.route', pick(random, ROUTES))
  text(
    writer,
    9,
    'url.full',
    `https://shop.example.com/api/v1/orders?email=${emailOf(random)}&id=${random(1e9)}`,
  )
  text(writer, 9, 'code.function.name', 'OrderRepository.findByCustomer')
  text(writer, 9, 'code.file.path', '/srv/app/dist/order-repository.js')
  endSpan(writer, span, random, options)
}

function beginSpan(writer: Writer, random: Random, name: string, kind: number): number {
  const span = writer.open(2)
  writer.bytes(1, randomBytes(random, 16))
  writer.bytes(2, randomBytes(random, 8))
  writer.bytes(4, randomBytes(random, 8))
  writer.string(5, name)
  writer.tag(6, 0)
  writer.varint(kind)
  const start = START_NS + BigInt(random(1e9)) * 1000n
  writer.tag(7, 1)
  writer.fixed64(start)
  writer.tag(8, 1)
  writer.fixed64(start + BigInt(random(50_000_000)))
  return span
}

function endSpan(writer: Writer, span: number, random: Random, options: PayloadOptions): void {
  integer(writer, 'thread.id', 1 + random(64))
  text(writer, 9, 'thread.name', `worker-${random(64)}`)
  text(writer, 9, 'deployment.environment.name', 'production')
  if (options.compliance) {
    text(writer, 9, 'compliance.framework', 'hipaa')
    text(writer, 9, 'compliance.control', '164.312(b)')
  }
  for (let index = 0; index < (options.attributesMore ?? 0); index++) {
    if (index % 3 === 0) integer(writer, `app.cart.count_${index}`, random(10_000))
    else text(writer, 9, `app.cart.label_${index}`, `${pick(random, TABLES)} of ${pick(random, ROUTES)}`)
  }
  const status = writer.open(15)
  writer.tag(3, 0)
  writer.varint(1)
  writer.close(status)
  writer.tag(16, 5)
  writer.fixed32(0x101)
  writer.close(span)
}

function text(writer: Writer, field: number, key: string, value: string): void {
  const mark = writer.open(field)
  writer.string(1, key)
  const inner = writer.open(2)
  writer.string(1, value)
  writer.close(inner)
  writer.close(mark)
}

function integer(writer: Writer, key: string, value: number): void {
  const mark = writer.open(9)
  writer.string(1, key)
  const inner = writer.open(2)
  writer.tag(3, 0)
  writer.varint(value)
  writer.close(inner)
  writer.close(mark)
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random(from.length)]
}

function emailOf(random: Random): string {
  return `${pick(random, GIVEN)}.${pick(random, FAMILY)}${random(1000)}@${pick(random, DOMAINS)}`
}

function addressOf(random: Random): string {
  return `203.0.${random(114)}.${1 + random(254)}`
}

function sqlOf(random: Random): string {
  const table = pick(random, TABLES)
  const where = `WHERE t.email = '${emailOf(random)}' AND t.segment = '${pick(random, FAMILY)}'`
  return `SELECT t.id FROM ${table} t ${where} AND t.total > ${random(100_000)}`
}

function hexText(random: Random, digits: number): string {
  let out = ''
  while (out.length < digits) out += random(16).toString(16)
  return out
}

function randomBytes(random: Random, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, () => random(256))
}
