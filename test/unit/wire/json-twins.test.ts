// One reading of JSON: where two readers could take different members, nobody takes any.
import { describe, expect, test } from 'vitest'
import { MESSAGE_DEPTH_MAX } from '../../../src/base/limits.ts'
import { jsonToProtobuf, jsonToRequests, jsonToSoundItems } from '../../../src/wire/json.ts'
import { isMessage, MESSAGES } from '../../../src/wire/messages.ts'
import type { Signal } from '../../../src/wire/otlp.ts'
import { scan } from '../../../src/wire/scan.ts'
import { type FieldSpec, type MessageName, REQUEST_OF } from '../../../src/wire/schema.ts'
import { field, idle, joined, spanAttribute, spanRequest } from './recorder.ts'

const SIGNALS = Object.keys(REQUEST_OF) as Signal[]
const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** Any value that the field may hold. */
function exampleOf({ type, repeated }: FieldSpec): string {
  const one = isMessage(type)
    ? '{}'
    : ({
        string: '"a"',
        bytes: '"YQ"',
        bool: 'true',
        traceId: `"${'1'.repeat(32)}"`,
        spanId: `"${'1'.repeat(16)}"`,
      }[type as string] ?? '1')
  return repeated ? `[${one}]` : one
}

interface Spot {
  readonly message: MessageName
  /** The request with one message of this kind, and its members as given. */
  readonly request: (members: string) => string
  readonly path: string
  readonly signal: Signal
}

/** Each message of OTLP where it stands first. */
function spots(): Spot[] {
  const found = new Map<string, Spot>()
  const visit = (spot: Spot): void => {
    if (found.has(spot.message)) return
    found.set(spot.message, spot)
    for (const { name, type, repeated } of MESSAGES[spot.message].fields) {
      if (!isMessage(type)) continue
      const step = repeated ? `${name}[0]` : name
      visit({
        ...spot,
        message: type,
        path: spot.path === '' ? step : `${spot.path}.${step}`,
        request: (members) => spot.request(`"${name}":${repeated ? `[{${members}}]` : `{${members}}`}`),
      })
    }
  }
  for (const signal of SIGNALS)
    visit({ message: REQUEST_OF[signal], request: (members) => `{${members}}`, path: '', signal })
  return [...found.values()]
}

function said(read: () => unknown): string {
  try {
    read()
    return 'accepted'
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: 'MALFORMED' })
    return (thrown as Error).message
  }
}

const strict = (json: string, signal: Signal): string => said(() => jsonToProtobuf(Buffer.from(json), signal))

test('every message of the schema is looked at', () => {
  expect(new Set(spots().map(({ message }) => message))).toEqual(new Set(Object.keys(MESSAGES)))
})

describe.each(spots().map((spot) => [spot.message, spot] as const))('%s', (_name, spot) => {
  const { request, signal, path } = spot
  const { fields } = MESSAGES[spot.message]
  const at = (name: string): string => (path === '' ? name : `${path}.${name}`)
  const read = (members: string): string => strict(request(members), signal)

  test.each(fields.map((spec) => [spec.name, spec] as const))('%s stands once', (name, spec) => {
    const value = exampleOf(spec)
    const spellings = [...new Set([name, snake(name)])]
    for (const one of spellings) expect(read(`"${one}":${value}`)).toBe('accepted')
    for (const one of spellings)
      for (const other of spellings)
        for (const [first, second] of [
          [value, value],
          ['null', value],
          [value, 'null'],
          ['null', 'null'],
        ]) {
          const message = read(`"${one}":${first},"x":1,"${other}":${second}`)
          expect(message).toMatch(/: json gives a member twice, or two of which one may be$/)
          expect(message.startsWith(`${at(name)}${spec.repeated ? '' : ''}`)).toBe(true)
        }
  })

  test.each(fields.map(({ name }) => [name] as const))('%s is spelled in its two ways alone', (name) => {
    const near = [
      name.toUpperCase(),
      `_${name}`,
      `${name}_`,
      name[0]!.toUpperCase() + name.slice(1),
      name.toUpperCase().replace('K', '\u212a'), // folds to k
      name.replace('s', '\u017f'), // folds to s
    ].filter((each) => each !== name && each !== snake(name))
    for (const spelling of near) {
      const message = read(`"x":1,"${spelling}":1`)
      expect(message).toBe(
        `${path === '' ? '' : `${path}, `}member 2: json spells a member in neither of its two ways`,
      )
    }
  })

  test('two members of one choice exclude each other, null or not', () => {
    for (const one of fields)
      for (const other of fields) {
        if (one.oneof === undefined || one === other || one.oneof !== other.oneof) continue
        expect(read(`"${one.name}":${exampleOf(one)},"${other.name}":${exampleOf(other)}`)).toContain(
          at(other.name),
        )
        expect(read(`"${one.name}":${exampleOf(one)},"${other.name}":null`)).toContain(at(other.name))
      }
  })

  test('an unknown list or object is refused, an unknown scalar ignored once', () => {
    const where = path === '' ? '' : `${path}, `
    for (const value of ['[]', '{}', '[1]', '{"a":[]}'])
      expect(read(`"secretName":${value}`)).toBe(`${where}member 1: json has an unknown object or list`)
    expect(read('"secretName":1,"other":"x"')).toBe('accepted')
    expect(read('"secretName":1,"other":"x","secret_name":null')).toBe(
      `${where}member 3: json gives a member twice`,
    )
  })
})

test('unknown members are remembered up to a bound', () => {
  const members = (count: number): string => Array.from({ length: count }, (_, i) => `"u${i}":${i}`).join()
  expect(strict(`{${members(64)}}`, 'traces')).toBe('accepted')
  expect(strict(`{${members(65)}}`, 'traces')).toBe('member 65: json has too many unknown members')
})

describe('at the door', () => {
  const request = (...spans: string[]): Uint8Array =>
    Buffer.from(`{"resourceSpans":[{"scope_spans":[{"spans":[${spans.join()}]}]}]}`)

  test.each([
    [
      'a member twice',
      '{"name":"a","na_me":"b","kind":1,"kind":1}',
      'member 2: json spells a member in neither of its two ways',
    ],
    [
      'a null twin',
      '{"name":null,"name":"b"}',
      'name: json gives a member twice, or two of which one may be',
    ],
    ['an unknown list', '{"x":[[{"a":1}]]}', 'member 1: json has an unknown object or list'],
    [
      'a twin deep inside',
      '{"attributes":[{"key":"a","value":{"arrayValue":{"values":[{},{"stringValue":"a","string_value":"b"}]}}}]}',
      'attributes[0].value.arrayValue.values[1].stringValue: json gives a member twice, or two of which one may be',
    ],
  ])('an item with %s is rejected, its neighbours are taken', (_name, bad, said) => {
    const { body, faults } = jsonToSoundItems(request('{"name":"x"}', bad, '{"name":"y"}'), 'traces')
    expect(body).toEqual(jsonToProtobuf(request('{"name":"x"}', '{"name":"y"}'), 'traces'))
    expect([...faults.rejected]).toEqual([['INVALID_JSON', 1]])
    const separator = said.startsWith('member') ? ', ' : '.'
    expect(faults.message).toBe(
      `rejected 1, first at resourceSpans[0].scopeSpans[0].spans[1]${separator}${said}`,
    )
  })

  test('outside of items the request is refused, with the place', () => {
    expect(
      said(() =>
        jsonToSoundItems(Buffer.from('{"resourceSpans":[{},{"scopeSpan":[{"spans":[{}]}]}]}'), 'traces'),
      ),
    ).toBe('resourceSpans[1], member 1: json has an unknown object or list')
    expect(
      said(() => jsonToSoundItems(Buffer.from('{"resource_spans":[],"resourceSpans":[{}]}'), 'traces')),
    ).toBe('resourceSpans[0]: json gives a member twice, or two of which one may be')
  })
})

describe('one object of several signals', () => {
  const read = (json: string) => jsonToRequests(Buffer.from(json))

  test('each is read as it is alone', () => {
    const parts: Record<Signal, string> = {
      traces: '"resource_spans":[{"schemaUrl":"a"},{}]',
      logs: '"resourceLogs":[{},{"scopeLogs":[{}]}]',
      metrics: '"resourceMetrics":[{"resource":{}}]',
    }
    for (const chosen of [
      ['traces'],
      ['metrics', 'traces'],
      ['logs', 'traces', 'metrics'],
      ['logs'],
    ] as Signal[][]) {
      const requests = read(`{${chosen.map((signal) => parts[signal]).join()}}`)
      expect(requests.map(({ signal }) => signal)).toEqual(
        SIGNALS.filter((signal) => chosen.includes(signal)),
      )
      for (const { signal, body } of requests)
        expect(Buffer.from(body).toString('hex')).toBe(
          Buffer.from(jsonToProtobuf(Buffer.from(`{${parts[signal]}}`), signal)).toString('hex'),
        )
    }
  })

  test('one that is named and empty is there', () => {
    expect(read('{"resourceLogs":[]}')).toEqual([{ signal: 'logs', body: new Uint8Array(0) }])
    expect(read('{"x":1}')).toEqual([])
  })
})

test('values nest as deep in JSON as in protobuf', () => {
  const kinds = {
    array: {
      json: (inner: string) => `{"arrayValue":{"values":[${inner}]}}`,
      protobuf: (inner: Uint8Array) => field(5, field(1, inner)),
    },
    kvlist: {
      json: (inner: string) => `{"kvlistValue":{"values":[{"value":${inner}}]}}`,
      protobuf: (inner: Uint8Array) => field(6, field(1, field(2, inner))),
    },
  }
  const isTaken = (read: () => unknown): boolean => {
    try {
      read()
      return true
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'TOO_DEEP' })
      return false
    }
  }
  for (const [name, { json, protobuf }] of Object.entries(kinds)) {
    let text = '{"boolValue":true}'
    let bytes: Uint8Array = joined(0x10, 1)
    let deepest = 0
    for (let depth = 1; depth <= MESSAGE_DEPTH_MAX; depth++) {
      text = json(text)
      bytes = protobuf(bytes)
      const body = `{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"a","value":${text}}]}]}]}]}`
      const inProtobuf = isTaken(() => scan(spanRequest(spanAttribute('a', bytes)), 'traces', idle))
      expect(
        isTaken(() => jsonToProtobuf(Buffer.from(body), 'traces')),
        `${name} ${depth}`,
      ).toBe(inProtobuf)
      expect(isTaken(() => jsonToSoundItems(Buffer.from(body), 'traces'))).toBe(inProtobuf)
      if (inProtobuf) deepest = depth
    }
    console.info(`values nest ${deepest} deep in a ${name}`)
    expect(deepest).toBeGreaterThan(16)
  }
})
