import type protobuf from 'protobufjs'
import { describe, expect, test } from 'vitest'
import { isMessage, MESSAGES } from '../../../src/wire/messages.ts'
import { Place } from '../../../src/wire/otlp.ts'
import { ARGUMENT_SHIFT, messageIndex, Op, SCAN_TABLE, SLOTS } from '../../../src/wire/scan-table.ts'
import { type FieldSpec, idLength, type MessageName } from '../../../src/wire/schema.ts'
import { requestType } from './oracle.ts'

/** Every message type that a request of any signal can hold, found from the .proto files alone. */
function reachable(): Map<string, protobuf.Type> {
  const found = new Map<string, protobuf.Type>()
  const visit = (type: protobuf.Type): void => {
    if (found.has(type.name)) return
    found.set(type.name, type)
    for (const field of type.fieldsArray)
      if (field.resolvedType && 'fieldsArray' in field.resolvedType) visit(field.resolvedType)
  }
  for (const type of Object.values(requestType)) visit(type)
  return found
}

const types = reachable()

/** A field in terms that both the .proto files and our table can be put. */
function fromProto(field: protobuf.Field): string {
  const type = field.resolvedType
    ? 'fieldsArray' in field.resolvedType
      ? field.resolvedType.name
      : 'enum'
    : field.type
  const oneof = field.partOf && !field.options?.proto3_optional ? field.partOf.name : ''
  return [
    field.id,
    field.name,
    type,
    field.repeated ? 'repeated' : '',
    oneof,
    field.options?.proto3_optional ? 'optional' : '',
  ].join(' ')
}

function fromTable(field: FieldSpec): string {
  const type = idLength(field) > 0 ? 'bytes' : field.type
  return [
    field.number,
    field.name,
    type,
    field.repeated ? 'repeated' : '',
    field.oneof ?? '',
    field.optional ? 'optional' : '',
  ].join(' ')
}

describe('the table of messages', () => {
  test('has exactly the messages that the .proto files can reach', () => {
    expect(Object.keys(MESSAGES).sort()).toEqual([...types.keys()].sort())
  })

  test.each([...types])('%s has exactly the fields of its definition', (name, type) => {
    const ours = MESSAGES[name as MessageName].fields.map(fromTable) // the test above holds the names
    expect(ours.sort()).toEqual(type.fieldsArray.map(fromProto).sort())
  })

  test('gives every text and every list of attributes a place, so that no surface is forgotten', () => {
    const values = new Set<string>(['KeyValue', 'AnyValue', 'ArrayValue', 'KeyValueList'])
    const forgotten = Object.entries(MESSAGES).flatMap(([name, message]) =>
      message.fields
        .filter((field) => !values.has(name) && ['string', 'KeyValue', 'AnyValue'].includes(field.type))
        .filter((field) => field.place === undefined)
        .map((field) => `${name}.${field.name}`),
    )
    expect(forgotten).toEqual([])
  })

  test('uses every place', () => {
    const used = new Set(
      Object.values(MESSAGES).flatMap((message) => message.fields.map((field) => field.place)),
    )
    expect(Object.entries(Place).filter(([, place]) => !used.has(place))).toEqual([])
  })

  test('names ids, and nothing else, that JSON writes as hex', () => {
    const ids = Object.values(MESSAGES).flatMap((message) =>
      message.fields.filter((field) => idLength(field) > 0),
    )
    expect(new Set(ids.map((field) => field.name))).toEqual(new Set(['traceId', 'spanId', 'parentSpanId']))
    const bytes = Object.values(MESSAGES).flatMap((message) =>
      message.fields.filter((field) => field.type === 'bytes'),
    )
    expect(bytes.map((field) => field.name)).toEqual(['bytesValue'])
  })

  test('compiles into the scan table without losing a field', () => {
    for (const [name, message] of Object.entries(MESSAGES)) {
      const row = messageIndex(name as MessageName) * SLOTS
      for (const field of message.fields) {
        const entry = SCAN_TABLE[row + field.number]
        expect(entry & 0xf, `${name}.${field.name}`).not.toBe(Op.UNKNOWN)
        if (field.place !== undefined) expect((entry >>> ARGUMENT_SHIFT) & 0xff).toBe(field.place)
        else if (isMessage(field.type))
          expect((entry >>> ARGUMENT_SHIFT) & 0xff).toBe(messageIndex(field.type))
      }
    }
    expect(SCAN_TABLE.filter((entry) => entry !== 0).length).toBe(
      Object.values(MESSAGES).reduce((count, message) => count + message.fields.length, 0),
    )
  })
})
