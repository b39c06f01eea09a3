// Every form that a file of exported telemetry comes in, through both commands that read one: the same spans have the same
// verdicts and the same opened values in each, and a damaged file has the same words.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { beforeAll, describe, expect, test } from 'vitest'
import { readExported } from '../../../../src/cli/exported-file/exported-file.ts'
import { reveal } from '../../../../src/cli/reveal/reveal.ts'
import { verify } from '../../../../src/cli/verify/verify.ts'
import { Evidence } from '../../../../src/evidence/evidence.ts'
import { SealingKey } from '../../../../src/keys/data/sealing-key.ts'
import { protobufToJson } from '../../../../src/wire/json.ts'
import { stringValue } from '../../../../src/wire/write.ts'
import { attribute, BOOT_ID, compliant, encode, NOW_NS, resourceSpans, testKey } from '../../evidence/otlp.ts'
import { attributePlace } from '../../formats/places.ts'
import { DoorKms, localOptions, temporaryFolder } from '../../kms/key-service.ts'
import { requestType } from '../../wire/oracle.ts'
import { asJaeger, JAEGER_ANSWERS, type Otlp } from './jaeger-answers.ts'

const never = new AbortController().signal
const folder = temporaryFolder()
const keyFile = localOptions()
const key = testKey()
const VALUES = ['alice', 'bob@example.com'] as const

let sealing: SealingKey
let signed: Uint8Array
let document: string
/** For the span with this index of `spanOf`, or as `ids` say. */
const idsOf = (index: number): Uint8Array => Buffer.concat([Buffer.alloc(16, 5), Buffer.alloc(8, 6 + index)])
const NO_IDS = Buffer.alloc(24)
const seal = (key: string, value: string, ids: Uint8Array | undefined = idsOf(0)): string =>
  sealIn([key], value, ids)
const sealIn = (path: readonly string[], value: string, ids: Uint8Array | undefined): string =>
  sealing.sealAll([
    { plaintext: stringValue(value), place: attributePlace(...path), dataClass: 'name', ids },
  ])[0]!

/** Spans of which Jaeger keeps everything, each with a sealed value. */
const spanOf = (name: string, index: number): object => ({
  traceId: Buffer.alloc(16, 5),
  spanId: Buffer.alloc(8, 6 + index),
  parentSpanId: Buffer.alloc(8, 5),
  traceState: 'vendor=abc',
  name: `GET /visits/${index}`,
  kind: 2,
  startTimeUnixNano: '1700000000000001000',
  endTimeUnixNano: '1700000000000251000',
  attributes: [compliant, attribute('patient.name', seal('patient.name', name, idsOf(index)))],
  events: [],
  status: { code: 2, message: 'failed' },
})

beforeAll(async () => {
  const kms = await DoorKms.open(keyFile)
  const options = {
    tenant: 'acme',
    dataClasses: ['name'],
    idsBound: true,
    padded: false,
    tenantSecret: undefined,
  }
  sealing = await SealingKey.generate(kms, { ...options, nowMs: 1_790_000_000_000 }, never)
  const group = resourceSpans(VALUES.map(spanOf))
  group.resource.attributes.push(attribute(sealing.announcementKey, sealing.announcement))
  const evidence = new Evidence({ instanceId: 'i', bootId: BOOT_ID }, () => undefined)
  const keys = new Map([['acme', key]])
  signed = evidence.sign(encode({ resourceSpans: [group] }), ['acme'], keys, NOW_NS).body
  document = protobufToJson(signed, 'traces')
  const publicKey = Buffer.from(key.publicKey).toString('base64')
  const entry = { keyId: key.keyId, algorithm: 'Ed25519', publicKey, createdAt: '2026-01-01T00:00:00.000Z' }
  const keyEntry = { ...entry, notAfter: null, status: 'ACTIVE', endorsedBy: null, endorsement: null }
  writeFileSync(join(folder, 'keys.json'), JSON.stringify({ tenantId: 'acme', keys: [keyEntry] }))
})

const bigEndian = (...bodies: Uint8Array[]): Buffer =>
  Buffer.concat(
    bodies.flatMap((body) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(body.length)
      return [length, body]
    }),
  )
function varintDelimited(...bodies: Uint8Array[]): Buffer {
  const framed = bodies.map((body) => {
    const length: number[] = []
    let rest = body.length
    for (; rest > 0x7f; rest >>= 7) length.push((rest & 0x7f) | 0x80)
    return Buffer.concat([Buffer.from([...length, rest]), body])
  })
  return Buffer.concat(framed)
}

/** Both spans, `times` over, in each form. */
const FORMS: Record<string, { readonly bytes: () => Uint8Array | string; readonly times: number }> = {
  JSON: { bytes: () => document, times: 1 },
  'indented JSON': { bytes: () => JSON.stringify(JSON.parse(document), undefined, 2), times: 1 },
  'JSON after a byte order mark': { bytes: () => `\ufeff${document}`, times: 1 },
  'JSON lines': { bytes: () => `${document}\n\n${document}\n`, times: 2 },
  'JSON lines of Windows': { bytes: () => `${document}\r\n${document}`, times: 2 },
  'JSON lines of all signals': {
    bytes: () => `{"resourceLogs":[]}\n${document}\n{"resourceMetrics":[]}\n`,
    times: 1,
  },
  'one object of several signals': { bytes: () => `{"resourceLogs":[],${document.slice(1)}`, times: 1 },
  protobuf: { bytes: () => signed, times: 1 },
  'protobuf with big-endian lengths': { bytes: () => bigEndian(signed, signed), times: 2 },
  'protobuf with varint lengths': { bytes: () => varintDelimited(signed, signed, signed), times: 3 },
  ...Object.fromEntries(
    JAEGER_ANSWERS.map(([name, answer]) => [
      `Jaeger’s ${name}`,
      { bytes: () => JSON.stringify(answer(JSON.parse(document) as Otlp)), times: 1 },
    ]),
  ),
}

interface Outcome {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function run(
  command: typeof verify | typeof reveal,
  argv: string[],
  input?: Uint8Array | string,
): Promise<Outcome> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const cut = async function* (): AsyncGenerator<Uint8Array> {
    const bytes = Buffer.from(input ?? '')
    for (let at = 0; at < bytes.length; at += 777) yield bytes.subarray(at, at + 777)
  }
  const code = await command(argv, { stdout, stderr, cwd: folder, env: {}, stdin: cut() })
  return { code, out: String(stdout.read() ?? ''), err: String(stderr.read() ?? '') }
}
const verifying = (path: string, input?: Uint8Array | string): Promise<Outcome> =>
  run(verify, [path, '--trust', 'keys.json', '--json'], input)
const revealing = (path: string, input?: Uint8Array | string, ...more: string[]): Promise<Outcome> =>
  run(reveal, ['--kms.local.key-file', keyFile.keyFile, ...more, path], input)

function put(content: Uint8Array | string): string {
  writeFileSync(join(folder, 'exported'), content)
  return 'exported'
}

interface VerifyJson {
  readonly spans: { readonly verdict: string }[]
  readonly unreadable: object[]
}
interface RevealJson {
  readonly files: {
    readonly values: { readonly opened: boolean; readonly value: { readonly stringValue: string } }[]
  }[]
}
const verdictsOf = ({ out }: Outcome): string[] =>
  (JSON.parse(out) as VerifyJson).spans.map(({ verdict }) => verdict)
const valuesOf = ({ out }: Outcome): string[] =>
  (JSON.parse(out) as RevealJson).files[0]!.values.map(({ value }) => value.stringValue)

describe.each(Object.entries(FORMS))('%s', (_name, { bytes, times }) => {
  const everything = <T>(each: readonly T[]): T[] => Array.from({ length: times }, () => each).flat()
  const ways: Record<string, () => [path: string, input?: Uint8Array | string]> = {
    'a file': () => [put(bytes())],
    'standard input': () => ['-', bytes()],
  }

  test.each(Object.entries(ways))('as %s has the verdicts of its spans', async (_way, open) => {
    const outcome = await verifying(...open())
    expect({ code: outcome.code, err: outcome.err }).toEqual({ code: 0, err: '' })
    expect(verdictsOf(outcome)).toEqual(everything(['valid', 'valid']))
  })

  test.each(Object.entries(ways))('as %s opens its sealed values', async (_way, open) => {
    const [path, input] = open()
    const outcome = await revealing(path, input, '--json')
    expect({ code: outcome.code, err: outcome.err }).toEqual({ code: 0, err: '' })
    expect(valuesOf(outcome)).toEqual(everything([...VALUES]))
  })

  test('written back opened, it is read again', async () => {
    const opened = await revealing('-', bytes(), '--document')
    expect({ code: opened.code, err: opened.err }).toEqual({ code: 0, err: '' })
    const again = await verifying('-', Buffer.from(opened.out, 'latin1'))
    for (const value of VALUES) expect(opened.out.split(value)).toHaveLength(times + 1)
    if (!/protobuf/.test(_name)) expect(verdictsOf(again)).toHaveLength(2 * times)
  })
})

describe('logs and metrics', () => {
  const logs = (body: string): object => ({
    resourceLogs: [
      {
        resource: { attributes: [attribute(sealing.announcementKey, sealing.announcement)] },
        scopeLogs: [
          { logRecords: [{ timeUnixNano: '1', attributes: [attribute('who', seal('who', body, NO_IDS))] }] },
        ],
      },
    ],
  })
  const metrics = (value: string): object => ({
    resourceMetrics: [
      {
        resource: { attributes: [attribute(sealing.announcementKey, sealing.announcement)] },
        scopeMetrics: [
          {
            metrics: [
              {
                name: 'visits',
                unit: '1',
                gauge: {
                  dataPoints: [
                    {
                      timeUnixNano: '1',
                      asDouble: 1,
                      attributes: [attribute('who', sealIn(['who'], value, undefined))],
                    },
                  ],
                },
              },
            ],
          },
        ],
      },
    ],
  })
  const binary = (signal: 'logs' | 'metrics', of: object): Uint8Array => {
    const type = requestType[signal]
    return type.encode(type.fromObject(of)).finish()
  }
  const all = {
    protobuf: () => binary('logs', logs('l')),
    'protobuf with big-endian lengths': () =>
      bigEndian(binary('logs', logs('l')), signed, binary('metrics', metrics('m'))),
    'protobuf with varint lengths': () =>
      varintDelimited(binary('metrics', metrics('m')), binary('logs', logs('l'))),
    'JSON lines': () => `${JSON.stringify(metrics('m'))}\n${document}\n${JSON.stringify(logs('l'))}\n`,
    'one object': () => JSON.stringify({ ...logs('l'), ...metrics('m') }),
  }
  test.each(Object.entries(all))('are opened in %s', async (form, bytes) => {
    const outcome = await revealing(put(bytes()), undefined, '--json')
    expect({ code: outcome.code, err: outcome.err }).toEqual({ code: 0, err: '' })
    const expected = {
      protobuf: ['l'],
      'protobuf with big-endian lengths': ['l', ...VALUES, 'm'],
      'protobuf with varint lengths': ['m', 'l'],
      'JSON lines': ['m', ...VALUES, 'l'],
      'one object': ['l', 'm'],
    }
    expect(valuesOf(outcome)).toEqual(expected[form as keyof typeof expected])
  })

  test('beside spans are no fault for verify, which counts the spans', async () => {
    for (const bytes of [
      `${JSON.stringify(logs('l'))}\n${document}\n`,
      bigEndian(binary('logs', logs('l')), signed),
    ]) {
      const outcome = await verifying(put(bytes))
      expect({ code: outcome.code, verdicts: verdictsOf(outcome) }).toEqual({
        code: 0,
        verdicts: ['valid', 'valid'],
      })
    }
  })

  test('spans are found by whatever spelling of their field JSON allows, also behind another signal', async () => {
    const changed = document
      .replace('/visits/1', '/visits/7')
      .replace('"resourceSpans"', '"resource\\u0053pans"')
    for (const content of [changed, `{"resourceLogs":[],${changed.slice(1)}`])
      expect(await verifying(put(content))).toMatchObject({ code: 1 })
  })

  test('a span with a damaged trace id is no metric to verify', async () => {
    const at = Buffer.from(signed).indexOf(Buffer.alloc(16, 5))
    expect(at).toBeGreaterThan(0)
    // protobufjs types a decoded message as Message; the fields are those of the request that was made above.
    const message = requestType.traces.decode(signed) as unknown as {
      resourceSpans: { scopeSpans: { spans: { traceId: Uint8Array }[] }[] }[]
    }
    message.resourceSpans[0]!.scopeSpans[0]!.spans[0]!.traceId = Buffer.alloc(15, 5)
    const changed = requestType.traces.encode(message).finish()
    const outcome = await verifying(put(bigEndian(signed, changed)))
    expect(outcome.code).not.toBe(0)
  })
})

describe('requests whose length looks like text', () => {
  // A group of 123 bytes is "\n{" in protobuf; a request of 123 bytes with a varint before it begins with "{\n".
  const ofLength = (length: number): Uint8Array => {
    const of = (padding: number): Uint8Array =>
      encode({
        resourceSpans: [
          {
            scopeSpans: [
              {
                spans: [
                  { traceId: Buffer.alloc(16, 1), spanId: Buffer.alloc(8, 1), name: 'x'.repeat(padding) },
                ],
              },
            ],
          },
        ],
      })
    const body = Array.from({ length }, (_, padding) => of(padding)).find((each) => each.length === length)
    return body!
  }
  test.each([
    ['one request', () => ofLength(125)],
    ['varint lengths', () => varintDelimited(ofLength(123), ofLength(123))],
    ['a varint length like a tag', () => varintDelimited(ofLength(125), ofLength(123))],
  ])('%s', async (_form, bytes) => {
    const outcome = await verifying(put(bytes()))
    expect((JSON.parse(outcome.out) as VerifyJson).unreadable).toEqual([])
    expect(verdictsOf(outcome)[0]).toBe('unsigned')
  })
})

describe('a file larger than memory allows', () => {
  /** `bytes` again and again, in chunks as a file gives them. */
  async function* repeated(bytes: Uint8Array, times: number): AsyncGenerator<Uint8Array> {
    for (let time = 0; time < times; time++)
      for (let at = 0; at < bytes.length; at += 65_536) yield Buffer.from(bytes.subarray(at, at + 65_536))
  }
  const MEBIBYTE = 1024 * 1024
  test.each<[form: string, bytes: (body: Uint8Array) => Uint8Array]>([
    ['JSON lines', (body) => Buffer.from(`${protobufToJson(body, 'traces')}\n`)],
    ['big-endian lengths', bigEndian],
    ['varint lengths', varintDelimited],
  ])('%s: of 200 MiB a few are held', async (_form, bytesOf) => {
    const long = { ...spanOf('long', 0), name: 'x'.repeat(MEBIBYTE) }
    const bytes = bytesOf(encode({ resourceSpans: [resourceSpans([long])] }))
    const before = process.memoryUsage().arrayBuffers
    let [count, peak] = [0, 0]
    for await (const piece of readExported(repeated(bytes, 200), 'any')) {
      if ('body' in piece) count++
      peak = Math.max(peak, process.memoryUsage().arrayBuffers - before)
    }
    expect(count).toBe(200)
    expect(peak).toBeLessThan(150 * MEBIBYTE)
  })
})

describe('what Jaeger does not keep', () => {
  const withAttribute = (key: string, value: object): string => {
    const otlp = JSON.parse(document) as Otlp
    // Lists and maps are no part of the type, since Jaeger keeps none.
    otlp.resourceSpans[0]!.scopeSpans[0]!.spans[0]!.attributes.push({ key, value: value as never })
    return JSON.stringify(asJaeger(otlp))
  }

  test('a list is text: its texts open inside, and the document written is OTLP', async () => {
    const value = { arrayValue: { values: [{ stringValue: seal('list', 'carol') }] } }
    const { code, out, err } = await revealing('-', withAttribute('list', value), '--document')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/^\{"resourceSpans":/)
    expect(out).toContain('carol')
  })

  test('a map is text: what is inside stood under a longer key, and does not open', async () => {
    const value = {
      kvlistValue: { values: [attribute('inner', sealIn(['map', 'inner'], 'carol', idsOf(0)))] },
    }
    const { code, out } = await revealing('-', withAttribute('map', value))
    expect(code).toBe(1)
    expect(out).toContain('does not open')
    expect(out).toContain('2 of 3 sealed values opened')
  })
})

describe('a damaged file has one line for each fault, the same in both commands', () => {
  const cut = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, bytes.length - 9)
  /** Noise over the first attributes. */
  const garbled = (request: Uint8Array): Uint8Array => Buffer.from(request).fill(0xff, 8, 120)
  const SPANS = 'resourceSpans[0].scopeSpans[0].spans'
  const NOT_OTLP = 'is neither OTLP/JSON nor OTLP protobuf'
  const damaged: [name: string, bytes: () => Uint8Array | string, faults: string[], spanCount: number][] = [
    ['nothing at all', () => '', ['is empty'], 0],
    ['only blanks', () => ' \n\r\n\t', ['is empty'], 0],
    ['gzip', () => Buffer.from('1f8b080000', 'hex'), ['is compressed: unpack it first'], 0],
    ['zstd', () => Buffer.from('28b52ffd00', 'hex'), ['is compressed: unpack it first'], 0],
    ['UTF-16', () => Buffer.from(`\ufeff${document}`, 'utf16le'), ['is UTF-16: save it as UTF-8'], 0],
    [
      'a web page',
      () => '\n<!doctype html>\n<html><body>401 Unauthorized</body></html>\n',
      ['is a web page or XML, not exported telemetry'],
      0,
    ],
    ['a text', () => 'hello world\n', [NOT_OTLP], 0],
    ['noise', () => Buffer.alloc(3000, 0xff), [NOT_OTLP], 0],
    [
      'JSON of something else',
      () => '{"a":1}',
      [':1: json has no resourceSpans, resourceLogs or resourceMetrics'],
      0,
    ],
    ['JSON cut', () => document.slice(0, -41), [`: ${SPANS}[1]: json string is cut off`], 0],
    [
      'indented JSON cut',
      () => JSON.stringify(JSON.parse(document), undefined, 2).slice(0, -41),
      [`: ${SPANS}[2]: json is not well formed`],
      0,
    ],
    [
      'JSON with noise',
      () => document.replace('"kind":2', '"kind":\u0007'),
      [`:1: ${SPANS}[0].kind: json is not well formed`],
      0,
    ],
    [
      'JSON that is not UTF-8',
      () => Buffer.from(document.replace('vendor', 'v\u00ffndor'), 'latin1'),
      [':1: json is not utf-8'],
      0,
    ],
    [
      'JSON lines cut',
      () => `${document}\n${document.slice(0, -41)}`,
      [`:2: ${SPANS}[1]: json string is cut off`],
      2,
    ],
    [
      'JSON lines with noise',
      () => `${document}\n\u0007\u0007\n${document}\n`,
      [':2: json is not well formed'],
      4,
    ],
    [
      'JSON lines with a line that is none at the head',
      () => `started\n${document}\n`,
      [':1: json is not well formed'],
      2,
    ],
    ['protobuf cut', () => cut(signed), [NOT_OTLP], 0],
    ['protobuf with noise', () => garbled(signed), [NOT_OTLP], 0],
    [
      'big-endian lengths, cut',
      () => cut(bigEndian(signed, signed)),
      [': request 2: is cut off within a request'],
      2,
    ],
    [
      'big-endian lengths, the first one cut',
      () => cut(bigEndian(signed)),
      [': request 1: is cut off within a request'],
      0,
    ],
    [
      'big-endian lengths with noise in a request',
      () => bigEndian(signed, garbled(signed), signed),
      [': request 2: is no OTLP protobuf'],
      4,
    ],
    [
      'big-endian lengths with noise for a length',
      () => Buffer.concat([bigEndian(signed), Buffer.from('ffffffff', 'hex'), signed]),
      [': request 2: is cut off within a request'],
      2,
    ],
    [
      'varint lengths, cut',
      () => cut(varintDelimited(signed, signed)),
      [': request 2: is cut off within a request'],
      2,
    ],
    [
      'varint lengths with noise in a request',
      () => varintDelimited(signed, garbled(signed), signed),
      [': request 2: is no OTLP protobuf'],
      4,
    ],
    [
      'varint lengths, and then lines of text',
      () => Buffer.concat([varintDelimited(signed), Buffer.from('hello\n'.repeat(99))]),
      [
        ': request 2: is no OTLP protobuf',
        ': request 3: is no OTLP protobuf either: what follows is not read',
      ],
      2,
    ],
    [
      'half an answer of Jaeger',
      () => JSON.stringify(asJaeger(JSON.parse(document) as Otlp)).slice(0, -41),
      ['json string is cut off'],
      0,
    ],
    [
      'JSON with a twin',
      () => document.replace('"kind":2', '"kind":2,"kind":null'),
      [`:1: ${SPANS}[0].kind: json gives a member twice, or two of which one may be`],
      0,
    ],
    [
      'JSON with a list that OTLP has not',
      () => document.replace('"kind":2', '"kinds":[2]'),
      [`:1: ${SPANS}[0], member 6: json has an unknown object or list`],
      0,
    ],
    [
      'JSON with half of a surrogate pair',
      () => document.replace('vendor', '\\udc00'),
      [`:1: ${SPANS}[0].traceState: json string holds half of a surrogate pair`],
      0,
    ],
    [
      'an answer of Jaeger with a twin',
      () => '{"data":[{"spans":[],"spans":null}]}',
      [':1: json gives a member twice'],
      0,
    ],
    [
      'an answer of Jaeger with a number that readers round',
      () => '{"data":[{"spans":[{"startTime":9007199254740993}]}]}',
      [':1: json has an integer that readers round'],
      0,
    ],
    [
      'an answer of Jaeger with spans of OTLP',
      () => `{"data":[],${document.slice(1)}`,
      [':1: is an answer of Jaeger with something else in it'],
      0,
    ],
    [
      'an answer of Jaeger without ids',
      () => '{"data":[{"spans":[{}]}]}',
      [':1: has a span of Jaeger without its ids'],
      0,
    ],
  ]
  test.each(damaged)('%s', async (_name, bytes, faults, spanCount) => {
    const path = put(bytes())
    const expected = faults
      .map((fault) => (fault.startsWith(':') ? `exported${fault}\n` : `exported: ${fault}\n`))
      .join('')
    const verified = await run(verify, [path, '--trust', 'keys.json'])
    expect({ code: verified.code, err: verified.err }).toEqual({ code: 2, err: expected })
    expect(verified.out).toContain(spanCount === 0 ? 'no spans' : `${spanCount} spans: ${spanCount} valid`)
    const revealed = await revealing(path)
    expect({ code: revealed.code, err: revealed.err }).toEqual({ code: 2, err: expected })
    expect(revealed.out).toContain(`${spanCount} of ${spanCount} sealed values opened`)
  })
})
