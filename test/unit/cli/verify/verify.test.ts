import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, describe, expect, test } from 'vitest'
import { verify } from '../../../../src/cli/verify/verify.ts'
import { Evidence } from '../../../../src/evidence/evidence.ts'
import { signEndorsement } from '../../../../src/formats/endorsement.ts'
import { protobufToJson } from '../../../../src/wire/json.ts'
import {
  BOOT_ID,
  compliant,
  encode,
  NOW_NS,
  request,
  resourceSpans,
  span,
  testKey,
} from '../../evidence/otlp.ts'

const folder = mkdtempSync(join(tmpdir(), 'betrace-verify-'))
afterAll(() => rmSync(folder, { recursive: true }))

const key = testKey()
const other = testKey()
const keys = new Map([
  ['acme', key],
  ['beta', other],
])
const evidence = new Evidence({ instanceId: 'i', bootId: BOOT_ID }, () => undefined)
const spans = [span(0, [compliant]), span(1), span(2, [compliant])]
const two = { resourceSpans: [resourceSpans(spans), resourceSpans([span(9, [compliant])], 'pay')] }
const signed = evidence.sign(encode(two), ['acme', 'beta'], keys, NOW_NS).body
const line = protobufToJson(signed, 'traces')
const second = protobufToJson(
  evidence.sign(encode(request([span(5, [compliant])])), ['acme'], keys, NOW_NS).body,
  'traces',
)
const logs = '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}'

const keyEntry = (of: typeof key, status = 'ACTIVE'): object => ({
  keyId: of.keyId,
  algorithm: 'Ed25519',
  publicKey: Buffer.from(of.publicKey).toString('base64'),
  createdAt: '2026-01-01T00:00:00.000Z',
  notAfter: null,
  status,
  endorsedBy: null,
})
const acmeKeys = { tenantId: 'acme', keys: [keyEntry(key, 'ROTATED')] }
const betaKeys = { tenantId: 'beta', keys: [keyEntry(other)] }

function put(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content)
  return name
}

async function run(
  argv: string[],
  stdin?: AsyncIterable<Uint8Array>,
): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const code = await verify(argv, {
    stdout,
    stderr,
    cwd: folder,
    env: {},
    ...(stdin === undefined ? {} : { stdin }),
  })
  const text = (stream: PassThrough): string => String(stream.read() ?? '')
  return { code, out: text(stdout), err: text(stderr) }
}

const bigEndian = (...bodies: Uint8Array[]): Uint8Array =>
  Buffer.concat(
    bodies.flatMap((body) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(body.length)
      return [length, body]
    }),
  )
const delimited = (...bodies: Uint8Array[]): Uint8Array =>
  Buffer.concat(
    bodies.flatMap((body) => [Uint8Array.of((body.length & 0x7f) | 0x80, body.length >> 7), body]),
  )

const keyFile = put('keys.json', JSON.stringify([acmeKeys, betaKeys]))

describe('good files of every form exit 0', () => {
  test.each<[name: string, content: string | Uint8Array, count: number]>([
    ['one.json', line, 4],
    ['pretty.json', JSON.stringify(JSON.parse(line), null, 2), 4],
    ['rows.jsonl', `${line}\n${second}\n`, 5],
    ['rows-of-windows.jsonl', `${line}\r\n\r\n${second}`, 5],
    ['all-signals.jsonl', `${logs}\n${line}\n{"resourceMetrics":[]}\n`, 4],
    ['one.binpb', signed, 4],
    ['big-endian.binpb', bigEndian(signed, signed), 8],
    ['varint.binpb', delimited(signed, signed, signed), 12],
  ])('%s', async (name, content, count) => {
    const { code, out, err } = await run([put(name, content), '--trust', keyFile])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toContain(`${count} spans:`)
    for (const each of out.split('\n')) expect(each.length).toBeLessThanOrEqual(80)
  })

  test('standard input, in chunks that cut lines anywhere', async () => {
    const bytes = Buffer.from(`${line}\n${second}\n`)
    const cut = async function* (): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < bytes.length; at += 777) yield bytes.subarray(at, at + 777)
    }
    expect(await run(['-', '--trust', keyFile], cut())).toMatchObject({ code: 0, err: '' })
  })

  test('several files and several key files', async () => {
    const acme = put('acme.json', JSON.stringify(acmeKeys))
    const beta = put('beta.json', JSON.stringify(betaKeys))
    const files = [put('a.json', line), put('b.json', second)]
    expect(await run([...files, '--trust', acme, '--trust', beta])).toMatchObject({ code: 0 })
  })
})

test('one changed byte: exit 1, with trace, span, name and line', async () => {
  const file = put('tampered.jsonl', `${second}\n${line.replace('/orders/2"', '/orders/7"')}\n`)
  const { code, out } = await run([file, '--trust', keyFile])
  expect(code).toBe(1)
  expect(out).toContain('TAMPERED   GET /orders/7')
  expect(out).toContain('trace 5b8efff7980381030000000000000003')
  expect(out).toContain('tampered.jsonl:2')
  expect(out).toContain('missing spans in this input: tenant acme, batch 1, index 1 of 2')
})

test('an unsigned compliance span: exit 1 by default, counted only with --expect none, and --expect all wants every span', async () => {
  const bare = put('bare.json', protobufToJson(encode(request([span(0, [compliant]), span(1)])), 'traces'))
  const { code, out } = await run([bare])
  expect(code).toBe(1)
  expect(out).toContain('NOT SIGNED GET /orders/0')
  expect(out).not.toContain('GET /orders/1')
  expect(await run([bare, '--expect', 'none'])).toMatchObject({
    code: 0,
    out: expect.stringContaining('2 unsigned'),
  })
  expect((await run([bare, '--expect', 'all'])).out).toContain('NOT SIGNED GET /orders/1')
})

describe('what cannot be told exits 2', () => {
  test.each<[name: string, argv: () => string[], message: string]>([
    ['no key at hand', () => [put('x.json', line)], ''],
    [
      'a revoked key',
      () => [
        put('x.json', line),
        '--trust',
        put(
          'revoked.json',
          JSON.stringify([{ tenantId: 'acme', keys: [keyEntry(key, 'REVOKED')] }, betaKeys]),
        ),
      ],
      '',
    ],
    ['no such file', () => ['nowhere.json'], 'nowhere.json: no such file\n'],
    ['a folder', () => ['.'], '.: is a folder\n'],
    ['an empty file', () => [put('empty', '')], 'empty: is empty\n'],
    ['a file without spans', () => [put('logs.jsonl', `${logs}\n`)], ''],
    [
      'neither JSON nor protobuf',
      () => [put('noise', Buffer.from('hello world'))],
      'noise: is neither OTLP/JSON nor OTLP protobuf\n',
    ],
    [
      'a compressed file',
      () => [put('x.gz', Buffer.from('1f8b0800', 'hex'))],
      'x.gz: is compressed: unpack it first\n',
    ],
    [
      'a truncated protobuf',
      () => [put('cut.binpb', signed.subarray(0, 500))],
      'cut.binpb: is neither OTLP/JSON nor OTLP protobuf\n',
    ],
    ['a key file that is no JSON', () => [put('x.json', line), '--trust', put('k', '{')], 'k: is not JSON\n'],
    [
      'a key file of another shape',
      () => [put('x.json', line), '--trust', put('k', '{}')],
      'k: a key file is {"tenantId", "keys": [...]} or a list of such\n',
    ],
    [
      'a key that is none',
      () => [
        put('x.json', line),
        '--trust',
        put('k', JSON.stringify({ tenantId: 'acme', keys: [{ ...keyEntry(key), publicKey: 'AAAA' }] })),
      ],
      'k: a publicKey is not one of Ed25519\n',
    ],
    [
      'one id for two keys',
      () => [
        put('x.json', line),
        '--trust',
        put(
          'k',
          JSON.stringify([acmeKeys, { ...betaKeys, keys: [{ ...keyEntry(other), keyId: key.keyId }] }]),
        ),
      ],
      'k: a keyId is not that of its publicKey\n',
    ],
  ])('%s', async (_name, argv, message) => {
    const { code, err } = await run(argv())
    expect({ code, err }).toEqual({ code: 2, err: message })
  })

  test('a broken line is told with its number, and the others are still checked', async () => {
    const file = put('broken.jsonl', `${line}\n{"resourceSpans":[{]}\n${second}\n`)
    const { code, err, out } = await run([file, '--trust', keyFile])
    expect({ code, err }).toEqual({
      code: 2,
      err: 'broken.jsonl:2: resourceSpans[0]: json is not well formed\n',
    })
    expect(out).toContain('5 spans: 4 valid, 1 unsigned')
  })

  test('but tampering found beside it is still exit 1', async () => {
    const file = put('both.jsonl', `{"resourceSpans":[{]}\n${line.replace('/orders/2"', '/orders/7"')}\n`)
    expect(await run([file, '--trust', keyFile])).toMatchObject({ code: 1 })
  })
})

describe('a chain of keys is followed as far as the list goes', () => {
  const old = testKey()
  const createdAt = '2026-01-01T00:00:00.000Z'
  const endorsed = (tenant = 'acme', by = old) => {
    const { keyId, publicKey } = key
    const statement = { tenant, keyId, publicKey, endorsedBy: old.keyId, createdMs: Date.parse(createdAt) }
    const endorsement = Buffer.from(signEndorsement(statement, by.privateKey)).toString('base64')
    return { ...keyEntry(key), createdAt, endorsedBy: old.keyId, endorsement }
  }
  const list = (...keys: object[]): string =>
    put(`list-${Math.random()}.json`, JSON.stringify([{ tenantId: 'acme', keys }]))
  const REVOKED = 'key was endorsed by a revoked key'
  const BAD = 'endorsement of the key does not verify'

  test.each<[name: string, keys: () => object[], trusted: () => string[], code: number, said: string]>([
    ['a first key', () => [keyEntry(key)], () => [key.keyId], 0, 'first of its chain: trusted'],
    ['a first key that nobody trusts', () => [keyEntry(key)], () => [], 2, 'nobody vouches for the keys'],
    [
      'endorsed by a trusted key that is over',
      () => [keyEntry(old, 'ROTATED'), endorsed()],
      () => [old.keyId],
      0,
      'endorsed by an earlier one: trusted',
    ],
    [
      'beside a trusted key that does not lead to it',
      () => [keyEntry(key), keyEntry(old)],
      () => [old.keyId],
      2,
      'no trusted key leads to a key',
    ],
    [
      'endorsed by a revoked key',
      () => [endorsed(), keyEntry(old, 'REVOKED')],
      () => [old.keyId],
      2,
      REVOKED,
    ],
    ['endorsed for another tenant', () => [keyEntry(old), endorsed('beta')], () => [old.keyId], 2, BAD],
    [
      'endorsed by who is not its endorser',
      () => [keyEntry(old), endorsed('acme', other)],
      () => [old.keyId],
      2,
      BAD,
    ],
    [
      'endorsed by a damaged word',
      () => [keyEntry(old), { ...endorsed(), endorsement: 'AAAA' }],
      () => [old.keyId],
      2,
      BAD,
    ],
    ['an endorsement by nobody', () => [{ ...endorsed(), endorsedBy: null }], () => [], 2, BAD],
    [
      'endorsed by a key that was left out',
      () => [endorsed()],
      () => [],
      2,
      'endorsed by one that is in no list: NOT trusted',
    ],
    ['trusted itself, whoever endorsed it', () => [endorsed()], () => [key.keyId], 0, 'trusted'],
  ])('%s: exit code', async (_name, keys, trusted, code, said) => {
    const pins = trusted().flatMap((keyId) => ['--trust', keyId])
    const done = await run([put('row.json', second), '--keys', list(...keys()), ...pins])
    expect([done.code, done.err]).toEqual([code, ''])
    expect(done.out.replaceAll(/\n +/g, ' ')).toContain(said)
    for (const each of done.out.split('\n')) expect(each.length).toBeLessThanOrEqual(80)
  })

  test('over several files', async () => {
    const file = put('row.json', second)
    const revoked = list(keyEntry(old, 'REVOKED'))
    const lists = ['--keys', list(endorsed()), '--keys', revoked]
    expect(await run([file, ...lists, '--trust', old.keyId])).toMatchObject({ code: 2 })
  })

  test('a key id that begins with a dash is no option', async () => {
    const { code, err } = await run([put('row.json', second), '--trust', `-${'A'.repeat(21)}`])
    expect([code, err]).toEqual([2, '--trust: a trusted key is in no list that was given\n'])
  })

  test('a whole file can be trusted, and then its keys vouch', async () => {
    const file = put('row.json', second)
    const trusted = list(keyEntry(old, 'ROTATED'))
    expect(await run([file, '--trust', trusted, '--keys', list(endorsed())])).toMatchObject({ code: 0 })
  })

  test.each([
    [
      'a trusted key that is in no list',
      () => ['--trust', old.keyId],
      '--trust: a trusted key is in no list',
    ],
    ['a trusted file that is not there', () => ['--trust', 'nowhere.json'], 'those have 22 characters'],
    [
      'a trusted file that is no list',
      () => ['--trust', put('no-list.json', '{}')],
      'no-list.json: a key file',
    ],
  ])('%s: exit 2, and one line says so', async (_, more, said) => {
    const { code, err } = await run([put('row.json', second), '--keys', list(keyEntry(key)), ...more()])
    expect([code, err.split('\n').length]).toEqual([2, 2])
    expect(err).toContain(said)
  })

  test('--json says it of every key', async () => {
    const keys = list(keyEntry(old, 'ROTATED'), endorsed())
    const { out } = await run([put('row.json', second), '--json', '--keys', keys, '--trust', old.keyId])
    expect(JSON.parse(out).summary.keys).toEqual([
      { keyId: key.keyId, tenant: 'acme', endorsement: 'endorsed', isTrusted: true },
    ])
  })
})

test.each([
  [[]],
  [['--nonsense']],
  [['x.json', '--expect', 'some']],
  [['x.json', '--require-coverage', 'a,,b']],
  [['x.json', '--trust']],
])('wrong usage exits 3 and shows how: %j', async (argv) => {
  const { code, err } = await run(argv)
  expect(code).toBe(3)
  expect(err).toContain('betrace verify --help shows how')
  for (const each of err.split('\n')) expect(each.length).toBeLessThanOrEqual(120)
})

test('--json is one document with every span', async () => {
  const file = put('mixed.jsonl', `${line.replace('/orders/2"', '/orders/7"')}\nnot json\n`)
  const { code, out, err } = await run([file, '--json', '--trust', keyFile])
  expect({ code, err }).toEqual({ code: 1, err: '' })
  const document = JSON.parse(out)
  expect(document).toMatchObject({
    outcome: 'bad',
    unreadable: [{ file: 'mixed.jsonl', line: 2 }],
    summary: { counts: { valid: 2, tampered: 1, unsigned: 1 } },
  })
  expect(document.spans[2]).toMatchObject({
    verdict: 'tampered',
    spanId: '0000000000000003',
    index: 1,
    line: 1,
  })
  expect(JSON.parse((await run(['nowhere', '--json'])).out)).toMatchObject({ spans: [], outcome: 'unknown' })
})

test('control characters of a span never reach the terminal', async () => {
  const hostile = { ...span(0, [compliant]), name: '\u001b[31mred\u001b[0m\u0007\u202eevil' }
  const { out } = await run([put('hostile.json', protobufToJson(encode(request([hostile])), 'traces'))])
  expect(out).toContain('NOT SIGNED')
  expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f\u202e]/)
})
