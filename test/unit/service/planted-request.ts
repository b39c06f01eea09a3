// A request with a secret of its own in every place that can hold text, built from the OTLP schema itself, so that a
// field nobody thought of is planted too.
import protobuf from 'protobufjs'
import type { Signal } from '../../../src/wire/otlp.ts'
import { encode, requestType } from '../wire/oracle.ts'

export interface Planted {
  readonly body: Uint8Array
  /** Where → the text that must be nowhere afterwards. */
  readonly secrets: ReadonlyMap<string, string>
}

const DEPTH_MAX = 3

export function plantRequest(signal: Signal, seed: string): Planted {
  const secrets = new Map<string, string>()
  let count = 0
  const secret = (path: string): string => {
    const text = `canary${seed}x${count++}@clinic-of-secrets.example`
    secrets.set(path, text)
    return text
  }

  const value = (path: string, depth: number): object => ({
    kvlistValue: {
      values: [
        { key: 'note', value: { stringValue: `call ${secret(`${path} string`)} now` } },
        { key: 'raw', value: { bytesValue: Buffer.from(secret(`${path} bytes`)) } },
        { key: 'list', value: { arrayValue: { values: [{ stringValue: secret(`${path} array`) }] } } },
        ...(depth < DEPTH_MAX
          ? [
              {
                key: 'deeper',
                value: {
                  kvlistValue: {
                    values: [
                      {
                        key: `k-${secret(`${path} nested key`)}`,
                        value: { stringValue: secret(`${path} nested`) },
                      },
                    ],
                  },
                },
              },
            ]
          : []),
      ],
    },
  })

  const message = (
    type: protobuf.Type,
    path: string,
    depth: number,
    member = '',
  ): Record<string, unknown> => {
    const content: Record<string, unknown> = {}
    const taken = new Set<string>()
    for (const field of type.fieldsArray) {
      field.resolve()
      // One member of each oneof, or the later would unset the earlier.
      if (field.partOf) {
        if (
          taken.has(field.partOf.name) ||
          (member !== '' && field.partOf.oneof.includes(member) && field.name !== member)
        )
          continue
        taken.add(field.partOf.name)
      }
      const many = members(field).map((each) => fieldValue(field, `${path}.${field.name}`, depth, each))
      const set = many.filter((one) => one !== undefined)
      if (set.length > 0) content[field.name] = field.repeated ? set : set[0]
    }
    return content
  }

  const fieldValue = (field: protobuf.Field, path: string, depth: number, member: string): unknown => {
    if (field.resolvedType instanceof protobuf.Type) {
      const { name } = field.resolvedType
      if (name === 'AnyValue') return value(path, depth)
      if (depth > 12) return undefined
      if (name === 'KeyValue') return { key: `user-${secret(`${path} key`)}`, value: value(path, depth) }
      return message(field.resolvedType, `${path}${member && ` ${member}`}`, depth + 1, member)
    }
    if (field.type === 'string')
      return path.endsWith('traceState')
        ? `vendor=${secret(path).replace('@', '%40')}`
        : `x ${secret(path)} y`
    if (field.type === 'bytes') return Buffer.alloc(path.endsWith('raceId') ? 16 : 8, 7)
    return undefined
  }

  const body = encode(signal, message(requestType[signal], signal, 0))
  return { body, secrets }
}

/** A repeated message with one `data` of many (Metric) stands there once for each kind. */
function members(field: protobuf.Field): string[] {
  const { resolvedType } = field
  const data = field.repeated && resolvedType instanceof protobuf.Type ? resolvedType.oneofs?.data : undefined
  return data?.oneof ?? ['']
}
