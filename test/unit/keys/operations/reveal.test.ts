import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { silentTelemetry } from '../../../../src/base/telemetry.ts'
import { reveal } from '../../../../src/cli/reveal/reveal.ts'
import type { CommandIo } from '../../../../src/cli/terminal.ts'
import { verify } from '../../../../src/cli/verify/verify.ts'
import { namedPlace } from '../../../../src/formats/value-place.ts'
import { SealingKey } from '../../../../src/keys/data/sealing-key.ts'
import { openTenantSecret, tenantSecret } from '../../../../src/keys/data/tenant-secret.ts'
import { KEYS_DEFAULTS, Keys } from '../../../../src/keys/keys.ts'
import { revealRequests, revealToken } from '../../../../src/keys/operations/reveal.ts'
import { jsonToProtobuf, protobufToJson } from '../../../../src/wire/json.ts'
import type { Signal } from '../../../../src/wire/otlp.ts'
import { Fields } from '../../../../src/wire/reader.ts'
import { attributePlace } from '../../formats/places.ts'
import { DoorKms, localOptions, temporaryFolder } from '../../kms/key-service.ts'
import { ManualClock } from '../../kms/manual-clock.ts'
import { MemoryKeyStore } from '../memory-keystore.ts'

const never = new AbortController().signal
const TRACE_ID = '5b8efff798038103d269b633813fc60c'

type Json = string | number | boolean | null | Json[] | { [name: string]: Json }

const file = localOptions()
let kms: DoorKms
let sealing: SealingKey
beforeAll(async () => {
  kms = await DoorKms.open(file)
  sealing = await newKey('acme')
})

function newKey(
  tenant: string,
  overrides: Partial<Parameters<typeof SealingKey.generate>[1]> = {},
): Promise<SealingKey> {
  const options = {
    tenant,
    dataClasses: ['email', 'name'],
    idsBound: true,
    padded: false,
    tenantSecret: undefined,
    nowMs: 1_790_000_000_000,
  }
  return SealingKey.generate(kms, { ...options, ...overrides }, never)
}

/** The bytes of an AnyValue that is given as OTLP/JSON. */
function anyValue(value: Json): Uint8Array {
  const logs = { resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: value }] }] }] }
  let bytes = jsonToProtobuf(Buffer.from(JSON.stringify(logs)), 'logs')
  for (const field of [1, 2, 2, 5]) {
    const message = new Fields(bytes)
    while (message.next()) if (message.field === field) bytes = bytes.slice(message.start, message.end)
  }
  return bytes
}

const IDS = Buffer.from(`${TRACE_ID}eee19b7ec3c1b174`, 'hex')

/** `name` as `traces` writes it: `@span.name`, `url`, or the keys inwards with an arrow between. */
function placeOf(name: string): string {
  const [first = '', ...path] = name.split(' → ')
  return first.startsWith('@') ? namedPlace(first.slice(1), path)! : attributePlace(first, ...path)
}

/** What stands outside of spans in these tests. */
const OUTER: ReadonlySet<string> = new Set(['owner', '@scope.name'])

/** For the span of these tests, or whose `ids` are given; `'none'`: outside of records. */
function seal(
  name: string,
  value: Json,
  key = sealing,
  ids: Uint8Array | 'none' = OUTER.has(name) ? 'none' : IDS,
): string {
  const item = { plaintext: anyValue(value), place: placeOf(name), dataClass: 'name' }
  return key.sealAll([ids === 'none' ? item : { ...item, ids }])[0]!
}

const attribute = (key: string, value: Json): Json => ({ key, value })
const text = (stringValue: string): Json => ({ stringValue })
const announced = (key = sealing): Json => attribute(key.announcementKey, text(key.announcement))

/** A value of each place, before and after sealing: `hide` gets the attribute key and the value. */
function traces(
  hide: (attributeKey: string, value: Json) => Json,
  hideText: (key: string, part: string) => string,
): Json {
  return {
    resourceSpans: [
      {
        resource: {
          attributes: [
            attribute('service.name', text('shop')),
            attribute('owner', hide('owner', text('Zoë'))),
            announced(),
          ],
        },
        scopeSpans: [
          {
            scope: { name: hideText('@scope.name', 'lib') },
            spans: [
              {
                traceId: TRACE_ID,
                spanId: 'eee19b7ec3c1b174',
                name: `GET /users/${hideText('@span.name', 'alice@example.com')}/x`,
                attributes: [
                  attribute('s', hide('s', text('alice'))),
                  attribute('empty', hide('empty', text(''))),
                  attribute('i', hide('i', { intValue: '-7' })),
                  attribute('d', hide('d', { doubleValue: 1.5 })),
                  attribute('b', hide('b', { boolValue: true })),
                  attribute('raw', hide('raw', { bytesValue: 'AQID' })),
                  attribute('list', hide('list', { arrayValue: { values: [text('a'), { intValue: '2' }] } })),
                  attribute(
                    'url',
                    text(`https://x/?e=${hideText('url', 'a@b.c')}-_&f=${hideText('url', 'd@e.f')}`),
                  ),
                  attribute('deep', {
                    kvlistValue: {
                      values: [
                        attribute('inner', hide('deep → inner', text('bob'))),
                        attribute('more', { arrayValue: { values: [hide('deep → more', text('eve'))] } }),
                      ],
                    },
                  }),
                  attribute('after', hide('after', text('path is clean again'))),
                ],
                events: [{ name: 'e', attributes: [attribute('ev', hide('ev', text('carol')))] }],
                status: { message: `failed for ${hideText('@span.status_message', 'dave')}`, code: 2 },
              },
            ],
          },
        ],
      },
    ],
  }
}

const plain = (): Json =>
  traces(
    (_key, value) => value,
    (_key, part) => part,
  )
const sealed = (): Json =>
  traces(
    (key, value) => text(seal(key, value)),
    (key, part) => seal(key, text(part)),
  )
const encode = (document: Json, signal: Signal = 'traces'): Uint8Array =>
  jsonToProtobuf(Buffer.from(JSON.stringify(document)), signal)
const normal = (document: Json, signal: Signal = 'traces'): string =>
  protobufToJson(encode(document, signal), signal)

async function revealJson(document: Json, signal: Signal = 'traces') {
  const report = await revealRequests({ kms }, [{ signal, body: encode(document, signal) }], never)
  return { ...report, json: protobufToJson(report.bodies[0]!, signal) }
}
const failuresOf = (tokens: Awaited<ReturnType<typeof revealRequests>>['tokens']): string[] =>
  tokens.flatMap(({ outcome }) => (outcome.isOpen ? [] : [outcome.failure]))

describe('a document', () => {
  test('with values of every type in every place opens to what it was, and nothing else changes', async () => {
    const { json, tokens } = await revealJson(sealed())
    expect(failuresOf(tokens)).toEqual([])
    expect(tokens).toHaveLength(17)
    expect(json).toBe(normal(plain()))
  })

  test('of logs opens body, nested body and attributes', async () => {
    const logs = (hide: (key: string, value: Json) => Json): Json => ({
      resourceLogs: [
        {
          resource: { attributes: [announced()] },
          scopeLogs: [
            {
              logRecords: [
                {
                  body: hide('@log.body', text('all of it')),
                  attributes: [attribute('k', hide('k', text('v')))],
                },
                {
                  body: {
                    kvlistValue: { values: [attribute('user', hide('@log.body → user', text('alice')))] },
                  },
                },
                { body: { arrayValue: { values: [hide('@log.body', text('bob'))] } } },
              ],
            },
          ],
        },
      ],
    })
    const { json, tokens } = await revealJson(
      logs((key, value) => text(seal(key, value, sealing, Buffer.alloc(24)))),
      'logs',
    )
    expect(failuresOf(tokens)).toEqual([])
    expect(json).toBe(
      normal(
        logs((_key, value) => value),
        'logs',
      ),
    )
  })

  test('with a token inside bytes opens to those bytes', async () => {
    const token = seal('raw', { bytesValue: Buffer.from('alice@example.com').toString('base64') })
    const bytes = (part: string): Json => ({
      bytesValue: Buffer.from(`\u0000\u00ff ${part}\u0001`, 'latin1').toString('base64'),
    })
    const whole = seal('whole', { bytesValue: 'AQID' })
    const { json, tokens } = await revealJson(
      span([attribute('raw', bytes(token)), attribute('whole', text(whole))]),
    )
    expect(failuresOf(tokens)).toEqual([])
    expect(json).toBe(
      normal(
        span([attribute('raw', bytes('alice@example.com')), attribute('whole', { bytesValue: 'AQID' })]),
      ),
    )
  })

  test('of metrics opens the attributes of its points', async () => {
    const metrics = (value: Json): Json => ({
      resourceMetrics: [
        {
          resource: { attributes: [announced()] },
          scopeMetrics: [
            {
              metrics: [
                { name: 'm', sum: { dataPoints: [{ asInt: '1', attributes: [attribute('k', value)] }] } },
              ],
            },
          ],
        },
      ],
    })
    const { json, tokens } = await revealJson(metrics(text(seal('k', text('v'), sealing, 'none'))), 'metrics')
    expect(failuresOf(tokens)).toEqual([])
    expect(json).toBe(normal(metrics(text('v')), 'metrics'))
  })

  test('without tokens is the same buffer, and no key service is asked', async () => {
    const body = encode(plain())
    const before = kms.calls.length
    const { bodies, tokens } = await revealRequests({ kms }, [{ signal: 'traces', body }], never)
    expect(bodies[0]).toBe(body)
    expect(tokens).toEqual([])
    expect(kms.calls.length).toBe(before)
  })

  test('with many values of one key asks the key service once', async () => {
    const before = kms.count('decrypt')
    await revealJson(sealed())
    expect(kms.count('decrypt')).toBe(before + 1)
  })
})

const span = (attributes: Json[], resource: Json[] = [announced()], traceId = TRACE_ID): Json => ({
  resourceSpans: [
    {
      resource: { attributes: resource },
      scopeSpans: [{ spans: [{ traceId, spanId: 'eee19b7ec3c1b174', name: 'n', attributes }] }],
    },
  ],
})

describe('what does not open', () => {
  test('a moved value is left as it is, and the others open', async () => {
    const token = seal('a', text('alice'))
    const { tokens, json } = await revealJson(
      span([attribute('a', text(token)), attribute('b', text(token))]),
    )
    expect(failuresOf(tokens)).toEqual(['does_not_open'])
    expect(json).toBe(normal(span([attribute('a', text('alice')), attribute('b', text(token))])))
  })

  test('a value whose key nothing announces is named', async () => {
    const { tokens } = await revealJson(span([attribute('a', text(seal('a', text('x'))))], []))
    expect(failuresOf(tokens)).toEqual(['no_announcement'])
  })

  test('an announcement elsewhere in the input counts; a forged one does not', async () => {
    const token = seal('a', text('alice'))
    const apart = [span([attribute('a', text(token))], []), span([])]
    const requests = apart.map((document) => ({ signal: 'traces' as const, body: encode(document) }))
    expect(failuresOf((await revealRequests({ kms }, requests, never)).tokens)).toEqual([])
    const other = await newKey('acme')
    const forged = attribute(sealing.announcementKey, text(other.announcement))
    const { tokens } = await revealJson(span([attribute('a', text(token))], [forged]))
    expect(failuresOf(tokens)).toEqual(['no_announcement'])
  })

  test('an announcement among span attributes is only text', async () => {
    const { tokens } = await revealJson(span([attribute('a', text(seal('a', text('x')))), announced()], []))
    expect(failuresOf(tokens)).toEqual(['no_announcement'])
  })

  for (const kmsClass of ['network', 'throttled', 'access_denied', 'key_not_found'] as const) {
    test(`${kmsClass}: nobody can tell`, async () => {
      const door = await DoorKms.open(file)
      door.fail(kmsClass)
      const body = encode(span([attribute('a', text(seal('a', text('x'))))]))
      const { tokens, bodies } = await revealRequests({ kms: door }, [{ signal: 'traces', body }], never)
      expect(failuresOf(tokens)).toEqual(['cannot_tell'])
      expect(bodies[0]).toBe(body)
    })
  }

  test('a value moved to another trace', async () => {
    const key = await newKey('acme', { idsBound: true })
    const attributes = [attribute('a', text(seal('a', text('x'), key)))]
    expect(failuresOf((await revealJson(span(attributes, [announced(key)]))).tokens)).toEqual([])
    const moved = span(attributes, [announced(key)], TRACE_ID.replace('5', '6'))
    expect(failuresOf((await revealJson(moved)).tokens)).toEqual(['does_not_open'])
  })

  test('a value that a collector moved to the resource opens by the ids below it, and nowhere above others', async () => {
    const moved = attribute('a', text(seal('a', text('alice'))))
    expect(failuresOf((await revealJson(span([], [moved, announced()]))).tokens)).toEqual([])
    const above = span([], [moved, announced()], TRACE_ID.replace('5', '6'))
    expect(failuresOf((await revealJson(above)).tokens)).toEqual(['does_not_open'])
    const fromResource = attribute('owner', text(seal('owner', text('bob'))))
    expect(failuresOf((await revealJson(span([fromResource]))).tokens)).toEqual(['does_not_open'])
  })

  test('a token that was cut or changed is told, with where it stands', async () => {
    const token = seal('a', text('alice'))
    for (const damaged of [token.slice(0, -1), token.slice(0, 40), token.slice(0, 20)]) {
      const { tokens, json } = await revealJson(span([attribute('a', text(`x ${damaged}`))]))
      expect(tokens).toMatchObject([{ place: placeOf('a'), outcome: { failure: 'damaged' } }])
      expect(json).toContain(damaged)
    }
  })

  test('a value with a tenant secret needs the key store, and opens with it', async () => {
    const store = new MemoryKeyStore()
    const clock = new ManualClock()
    const keys = new Keys(
      { kms, store, clock, ...silentTelemetry() },
      { ...KEYS_DEFAULTS, dataClasses: ['name'], tenantSecret: true },
    )
    const sealer = await keys.loadSealer('acme', never)
    const token = sealer.sealAll([
      { plaintext: anyValue(text('x')), place: attributePlace('a'), dataClass: 'name' },
    ])[0]!
    await keys.close()
    const sealedValue = { token, place: attributePlace('a'), announcement: sealer.announcement }
    await expect(revealToken({ kms }, sealedValue, never)).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' })
    const withStore = (tenant: string, id: string) =>
      openTenantSecret({ kms, store, clock }, tenant, id, never)
    expect((await revealToken({ kms, tenantSecret: withStore }, sealedValue, never)).dataClass).toBe('name')
    const wrong = async () => tenantSecret(Buffer.alloc(32, 1))
    await expect(revealToken({ kms, tenantSecret: wrong }, sealedValue, never)).rejects.toMatchObject({
      code: 'SEALED_VALUE',
    })
  })
})

describe('betrace reveal', () => {
  async function run(argv: string[], cwd = temporaryFolder(), env: CommandIo['env'] = {}) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    const code = await reveal(argv, { stdout, stderr, cwd, env }).catch(
      (thrown: Error & { code?: string }) => `${thrown.code}: ${thrown.message}`,
    )
    return { code, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') }
  }
  function write(content: string | Uint8Array): string {
    const path = join(temporaryFolder(), 'traces.jsonl')
    writeFileSync(path, content)
    return path
  }
  const withKey = () => ['--kms.local.key-file', file.keyFile]

  test('lists what opened, with exit code 0 and lines of 80 columns', async () => {
    const { code, stdout, stderr } = await run([
      ...withKey(),
      write(`${JSON.stringify(sealed())}\n`.repeat(2)),
    ])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('  s = alice (name)\n')
    expect(stdout).toContain('  i = -7 (name)\n')
    expect(stdout).toContain('  deep → more = eve (name)\n')
    expect(stdout).toContain('34 of 34 sealed values opened, 1 data key\n')
    const own = stdout.split('\n').slice(1)
    expect(Math.max(...own.map((line) => line.length))).toBeLessThanOrEqual(80)
  })

  test('a line that cannot be read is told with its number, and the others are opened: exit code 2', async () => {
    const good = JSON.stringify(sealed())
    for (const [content, lines, where] of [
      [`${good}\n{"resourceSpans":[{]}\n${good}\n{"resourceSpans":[{`, [2, 4], 'resourceSpans[0]: '],
      [`12:00 started\n${good}\n\n[]\n${good}\n`, [1, 4], ''],
    ] as const) {
      const message = `${where}json is not well formed`
      const path = write(content)
      const { code, stdout, stderr } = await run([...withKey(), path])
      expect(code).toBe(2)
      expect(stdout).toContain('34 of 34 sealed values opened, 1 data key; 2 places could not be read\n')
      expect(stderr).toBe(lines.map((line) => `${path}:${line}: ${message}\n`).join(''))
      const document = await run([...withKey(), '--document', path])
      expect([document.code, document.stderr]).toEqual([2, stderr])
      expect(document.stdout).toBe(`${normal(plain())}\n`.repeat(2))
      const { files } = JSON.parse((await run([...withKey(), '--json', path])).stdout)
      expect(files[0].unreadable).toEqual(lines.map((line) => ({ line, message })))
    }
  })

  test('a value that was changed is told by exit code 1, whatever could not be read beside it', async () => {
    const changed = JSON.stringify(sealed()).replace(
      /(enc\.v1\.[^"]*)(.)(...")/,
      (_, start, char, end) => `${start}${char === 'A' ? 'B' : 'A'}${end}`,
    )
    const { code, stdout } = await run([...withKey(), write(`${changed}\n{"resourceSpans":`)])
    expect(stdout).toContain('does not open')
    expect(stdout).toContain('1 failed; 1 place could not be read')
    expect(code).toBe(1)
  })

  test('the same fault of an input has the same words as in betrace verify', async () => {
    const folder = temporaryFolder()
    const put = (name: string, content: string | Uint8Array) => writeFileSync(join(folder, name), content)
    put('empty', '')
    put('noise', 'hello world')
    put('x.gz', Buffer.from('1f8b0800', 'hex'))
    put('broken.jsonl', '{"resourceSpans":[]}\n{"resourceSpans":[{]}\n')
    put('mixed.jsonl', '12:00 started\n{"resourceSpans":[]}\n')
    const files = ['empty', 'noise', 'x.gz', 'broken.jsonl', 'mixed.jsonl', 'nowhere', '.']
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    await verify(files, { stdout, stderr, cwd: folder, env: {} })
    const revealed = await run([...withKey(), ...files], folder)
    expect(revealed.code).toBe(2)
    expect(revealed.stderr).toBe(String(stderr.read()))
    expect(revealed.stderr.split('\n')).toHaveLength(files.length + 1)
  })

  test('works on another machine: the exported file and the key file, nothing else', async () => {
    const elsewhere = join(temporaryFolder(), 'k')
    copyFileSync(file.keyFile, elsewhere)
    const { code, stdout } = await run([
      '--kms.local.key-file',
      elsewhere,
      '--document',
      write(JSON.stringify(sealed())),
    ])
    expect(code).toBe(0)
    expect(stdout).toBe(`${normal(plain())}\n`)
  })

  test('by configuration, and never makes a key file', async () => {
    const folder = temporaryFolder()
    const config = fileURLToPath(new URL('../../../../collector-config.yaml', import.meta.url))
    const path = write(JSON.stringify(sealed()))
    const good = await run(['--config', config, '--set', `kms.local.key_file=${file.keyFile}`, path], folder)
    expect({ code: good.code, stderr: good.stderr }).toEqual({ code: 0, stderr: '' })
    const missing = await run(['--kms.local.key-file', join(folder, 'none.key'), path], folder)
    expect(missing.code).toBe(2)
    expect(missing.stderr).toMatch(/^betrace reveal: kms\.local\.key_file: .*none\.key does not exist\n$/)
    expect(() => readFileSync(join(folder, 'none.key'))).toThrow()
  })

  test('as JSON, what opened and what did not', async () => {
    const token = seal('a', text('alice'))
    const path = write(JSON.stringify(span([attribute('a', text(token)), attribute('b', text(token))])))
    const { code, stdout } = await run([...withKey(), '--json', path])
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toEqual({
      files: [
        {
          file: path,
          values: [
            {
              request: 0,
              attribute: 'a',
              kid: sealing.kid,
              opened: true,
              tenant: 'acme',
              class: 'name',
              value: { stringValue: 'alice' },
            },
            { request: 0, attribute: 'b', kid: sealing.kid, opened: false, failure: 'does_not_open' },
          ],
        },
      ],
    })
  })

  test('the wrong master key: cannot tell, exit code 2, the class is named', async () => {
    const other = localOptions()
    await DoorKms.open(other)
    const { code, stdout } = await run([
      '--kms.local.key-file',
      other.keyFile,
      write(JSON.stringify(sealed())),
    ])
    expect(code).toBe(2)
    expect(stdout).toContain('key_not_found')
  })

  test('one token', async () => {
    const ids = ['--trace-id', TRACE_ID, '--span-id', 'eee19b7ec3c1b174']
    const args = ['--attribute', 'a', '--announcement', sealing.announcement, ...withKey(), ...ids]
    const token = seal('a', text('alice'))
    expect(await run(['--token', token, ...args])).toEqual({ code: 0, stdout: 'alice\n', stderr: '' })
    expect((await run(['--token', seal('b', text('alice')), ...args])).code).toBe(1)
    expect((await run(['--token', token, ...args.slice(0, -4)])).code).toBe(1)
    const inner = seal('a → b', text('bob'))
    expect((await run(['--token', inner, ...args, '--attribute', 'b'])).stdout).toBe('bob\n')
    const name = seal('@span.name', text('carol'))
    const atName = ['--place', 'span.name', ...args.slice(2)]
    expect((await run(['--token', name, ...atName])).stdout).toBe('carol\n')
    const ofResource = seal('owner', text('dave'))
    const noIds = ['--attribute', 'owner', ...args.slice(2, -4)]
    expect((await run(['--token', ofResource, ...noIds])).stdout).toBe('dave\n')
    expect((await run(['--token', token.slice(0, -1), ...args])).code).toBe(1)
  })

  test('a value with escape sequences cannot talk to the terminal', async () => {
    const token = seal('a', text('\u001b[2J\u009b31m\r\nfake: opened\u202e'))
    const { stdout } = await run([
      '--token',
      token,
      '--attribute',
      'a',
      '--announcement',
      sealing.announcement,
      ...withKey(),
      ...['--trace-id', TRACE_ID, '--span-id', 'eee19b7ec3c1b174'],
    ])
    expect(stdout).toBe('\\u{1b}[2J\\u{9b}31m\\u{d}\\u{a}fake: opened\\u{202e}\n')
  })

  const misuse: Record<string, string[]> = {
    nothing: [],
    'an unknown option': ['--nope', 'x'],
    'half a token': ['--token', 'x'],
    'token and file': ['--token', 'x', '--attribute', 'a', '--announcement', 'y', 'file'],
    'a bad trace id': ['--trace-id', 'xyz', 'file'],
    'a bad span id': ['--span-id', 'xyz', 'file'],
    'no such place': ['--token', 'x', '--place', 'nope', '--announcement', 'y'],
    'keys inside a text': ['--token', 'x', '--place', 'span.name', '--attribute', 'a', '--announcement', 'y'],
    'json and document': ['--json', '--document', 'file'],
  }
  for (const [name, argv] of Object.entries(misuse)) {
    test(`${name} is exit code 3 and says where help is`, async () => {
      const { code, stderr } = await run(argv)
      expect(code).toBe(3)
      expect(stderr).toContain('betrace reveal --help shows how')
    })
  }

  test('a file that is not there or no OTLP is exit code 2 with one line', async () => {
    const { code, stderr } = await run([...withKey(), '/nowhere/x.json', write('hello')])
    expect(code).toBe(2)
    expect(stderr.trim().split('\n')).toHaveLength(2)
    expect(stderr).toContain('x.json: no such file\n')
  })
})
