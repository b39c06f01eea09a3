// Requests of any shape that the .proto files allow, made from those files and not from our table.
import fc from 'fast-check'
import type protobuf from 'protobufjs'
import type { Signal } from '../../../src/wire/otlp.ts'
import { requestType } from './oracle.ts'

type Content = Record<string, unknown>

/** Messages that JSON always writes; they are made always, since absent and empty cannot be told apart there. */
const ALWAYS = new Set(['resource', 'scope', 'status', 'body', 'value', 'positive', 'negative'])
const DEPTH_MAX = 12

const string = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom('', 'a', 'é', '😀', '"\\\n', 'k'.repeat(127), 'k'.repeat(128), 'v'.repeat(300)),
)
const uint64 = fc
  .oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.constantFrom(0n, 1n, 127n, 128n, 2n ** 53n + 1n))
  .map(String)
const int64 = fc
  .oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.constantFrom(0n, -1n, 2n ** 53n + 1n))
  .map(String)
const double = fc.double().map((value) => (value === 0 ? 0 : value)) // JSON leaves -0 out where the Collector does

function scalar(field: protobuf.Field): fc.Arbitrary<unknown> {
  if (field.name.endsWith('Id')) {
    const size = field.name === 'traceId' ? 16 : 8
    const id = fc.uint8Array({ minLength: size, maxLength: size }).map((bytes) => bytes.fill(1, 0, 1)) // never all zeros
    return fc.oneof(id, fc.constant(new Uint8Array(0)))
  }
  switch (field.type) {
    case 'string':
      return string
    case 'bytes':
      return fc.uint8Array({ maxLength: 10 })
    case 'bool':
      return fc.boolean()
    case 'double':
      return double
    case 'fixed64':
    case 'uint64':
      return uint64
    case 'sfixed64':
    case 'int64':
      return int64
    case 'sint32':
    case 'int32':
      return fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
    case 'fixed32':
    case 'uint32':
      return fc.integer({ min: 0, max: 2 ** 32 - 1 })
    default:
      return fc.integer({ min: 0, max: 30 }) // enums
  }
}

function field(of: protobuf.Field, depth: number): fc.Arbitrary<unknown> {
  const type = of.resolvedType
  const one = type && 'fieldsArray' in type ? message(type, depth + 1) : scalar(of)
  return of.repeated ? fc.array(one, { maxLength: depth > 6 ? 2 : 3 }) : one
}

/** Each oneof has at most one member, each other field is there or not. */
function message(type: protobuf.Type, depth: number): fc.Arbitrary<Content> {
  const isLeaf = depth >= DEPTH_MAX
  const isMessage = (one: protobuf.Field): boolean =>
    one.resolvedType !== null && 'fieldsArray' in one.resolvedType
  const isAlways = (one: protobuf.Field): boolean => isMessage(one) && ALWAYS.has(one.name)
  const usable = type.fieldsArray.filter((one) => !isLeaf || !isMessage(one) || isAlways(one))
  const plain = usable.filter((one) => !one.partOf || one.options?.proto3_optional)
  const empty = fc.constant({})
  const shape = Object.fromEntries(
    plain.map((one) => [one.name, isLeaf && isMessage(one) ? empty : field(one, depth)]),
  )
  const required = plain.filter(isAlways).map((one) => one.name)
  const base: fc.Arbitrary<Content> = fc.record(shape, { requiredKeys: required })
  return type.oneofsArray
    .filter((oneof) => !oneof.fieldsArray[0].options?.proto3_optional)
    .reduce((content, oneof) => {
      const members = oneof.fieldsArray.filter((one) => usable.includes(one))
      const choices = members.map((one) => field(one, depth).map((value): Content => ({ [one.name]: value })))
      return fc.tuple(content, fc.oneof(fc.constant({}), ...choices)).map(([a, b]) => ({ ...a, ...b }))
    }, base)
}

/** Content of a request of this signal, for `encode` of the oracle. */
export const request: Readonly<Record<Signal, fc.Arbitrary<Content>>> = {
  traces: message(requestType.traces, 0),
  logs: message(requestType.logs, 0),
  metrics: message(requestType.metrics, 0),
}
