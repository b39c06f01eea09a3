// JSON as other runtimes write it: whatever protobufjs makes of a request of any shape reads equal to the request itself.
import fc from 'fast-check'
import type protobuf from 'protobufjs'
import { expect, test } from 'vitest'
import { jsonToProtobuf, jsonToSoundItems } from '../../../src/wire/json.ts'
import type { Signal } from '../../../src/wire/otlp.ts'
import { request } from './arbitrary.ts'
import { encode, requestType } from './oracle.ts'

const seed = Number(process.env.FC_SEED ?? Date.now() % 1_000_000)
console.info(`json of other runtimes: FC_SEED=${seed}`)

interface Way {
  readonly isSnakeCase: boolean
  readonly enums: typeof String | typeof Number
  /** Whether 64-bit integers that a double holds are numbers. */
  readonly hasLongNumbers: boolean
  readonly hasDefaults: boolean
}

const WAYS: readonly Way[] = [
  { isSnakeCase: false, enums: String, hasLongNumbers: false, hasDefaults: false },
  { isSnakeCase: true, enums: String, hasLongNumbers: false, hasDefaults: false },
  { isSnakeCase: true, enums: Number, hasLongNumbers: true, hasDefaults: false },
  { isSnakeCase: false, enums: Number, hasLongNumbers: true, hasDefaults: true },
]

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** OTLP's own deviation: ids are hex. The rest is as protobufjs wrote it. */
function otlp(type: protobuf.Type, from: Record<string, unknown>, way: Way): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(from).map(([name, value]) => {
      const field = type.fields[name]!
      const one = (each: unknown): unknown => {
        const inner = field.resolvedType
        if (inner !== null && 'fieldsArray' in inner) return otlp(inner, each as Record<string, unknown>, way) // a message is an object
        if (name.endsWith('Id')) return Buffer.from(each as string, 'base64').toString('hex') // bytes: String
        const isLong = typeof each === 'string' && /64$/.test(field.type)
        return isLong && way.hasLongNumbers ? `@long:${each}` : each
      }
      return [way.isSnakeCase ? snake(name) : name, Array.isArray(value) ? value.map(one) : one(value)]
    }),
  )
}

/** What a message says, also where it says nothing: JSON does not tell empty from absent. */
const whole = (type: protobuf.Type, bytes: Uint8Array): unknown =>
  type.toObject(type.decode(bytes), { longs: String, bytes: String, enums: Number, defaults: true })

test.each(
  WAYS.flatMap((way) => (['traces', 'logs', 'metrics'] as Signal[]).map((signal) => [signal, way] as const)),
)('of %s, %o', (signal, way) => {
  const type = requestType[signal]
  fc.assert(
    fc.property(request[signal], (content) => {
      const bytes = encode(signal, content)
      const plain = type.toObject(type.decode(bytes), {
        longs: String,
        bytes: String,
        enums: way.enums,
        json: true,
        arrays: way.hasDefaults,
      })
      const json = Buffer.from(JSON.stringify(otlp(type, plain, way)).replace(/"@long:(-?[0-9]+)"/g, '$1'))
      const body = jsonToProtobuf(json, signal)
      expect(whole(type, body)).toEqual(whole(type, bytes))
      expect(jsonToSoundItems(json, signal).body).toEqual(body)
    }),
    { seed, numRuns: 100 },
  )
})
