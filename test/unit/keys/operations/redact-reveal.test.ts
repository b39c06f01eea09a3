// The two sides of the format meet: what redaction seals, reveal opens, for every signal and place, to the document that
// came in.
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { OpeningKey } from '../../../../src/keys/data/opening-key.ts'
import { SealingKey } from '../../../../src/keys/data/sealing-key.ts'
import { revealRequests } from '../../../../src/keys/operations/reveal.ts'
import { ENCRYPT } from '../../../../src/redaction/options.ts'
import { redact } from '../../../../src/redaction/redact.ts'
import { compileRules } from '../../../../src/redaction/rules.ts'
import { jsonToProtobuf, protobufToJson } from '../../../../src/wire/json.ts'
import type { Signal } from '../../../../src/wire/otlp.ts'
import { DoorKms } from '../../kms/key-service.ts'

const never = new AbortController().signal
const rules = compileRules({
  packs: [],
  rules: [
    {
      name: 'whole',
      match: { key: ['secret', 'user.*', 'nested.inner', 'log.user'] },
      action: ENCRYPT,
      dataClass: 'whole',
    },
    { name: 'parts', match: { detector: ['email', 'payment_card'] }, action: ENCRYPT },
  ],
  onKmsFailure: 'refuse',
  tenantSecret: false,
  bindIds: true,
  pad: false,
  unknownFields: 'scan',
})

let kms: DoorKms
let sealer: SealingKey
beforeAll(async () => {
  kms = await DoorKms.open()
  const options = {
    tenant: 'acme',
    dataClasses: rules.dataClasses,
    idsBound: true,
    padded: false,
    tenantSecret: undefined,
    nowMs: 0,
  }
  sealer = await SealingKey.generate(kms, options, never)
})

/** Redacts and reveals; says how many tokens there were and what came back, without the announcement. */
async function thereAndBack(document: object, signal: Signal) {
  const body = jsonToProtobuf(Buffer.from(JSON.stringify(document)), signal)
  const keys = [{ tenant: 'acme', sealer, pseudonymizer: undefined }]
  const redacted = redact(body, signal, rules, keys)
  expect(redacted.missing).toEqual([])
  const { tokens, bodies } = await revealRequests({ kms }, [{ signal, body: redacted.body }], never)
  const announcement = JSON.stringify({
    key: sealer.announcementKey,
    value: { stringValue: sealer.announcement },
  })
  const json = protobufToJson(bodies[0]!, signal).replaceAll(`,${announcement}`, '')
  return {
    tokens,
    json,
    original: protobufToJson(body, signal),
    redactedJson: protobufToJson(redacted.body, signal),
  }
}

const mail = (stringValue: string) => ({ stringValue })
const attributes = [
  { key: 'secret', value: { intValue: '42' } },
  { key: 'user.name', value: mail('Zoë') },
  { key: 'user.tags', value: { arrayValue: { values: [mail('a'), { doubleValue: 2.5 }] } } },
  { key: 'note', value: mail('from alice@example.com_to_bob@example.org, card 4111111111111111x') },
  { key: 'url', value: mail('https://shop.example/?email=alice%40example.com&x=1') },
  {
    key: 'list',
    value: {
      arrayValue: {
        values: [
          mail('to carol@example.com'),
          { kvlistValue: { values: [{ key: 'k', value: mail('dave@example.com') }] } },
        ],
      },
    },
  },
  {
    key: 'nested',
    value: {
      kvlistValue: {
        values: [
          { key: 'inner', value: { boolValue: true } },
          { key: 'x', value: mail('eve@example.com') },
        ],
      },
    },
  },
  { key: 'raw', value: { bytesValue: Buffer.from('\u0000 frank@example.com \u0001').toString('base64') } },
  { key: 'clean', value: mail('nothing here') },
]

describe('what redaction seals, reveal opens', () => {
  test('traces', async () => {
    const { tokens, json, original, redactedJson } = await thereAndBack(
      {
        resourceSpans: [
          {
            resource: {
              attributes: [
                { key: 'service.name', value: mail('shop') },
                { key: 'owner', value: mail('zoe@example.com') },
              ],
            },
            scopeSpans: [
              {
                scope: { name: 'lib', version: '1', attributes },
                spans: [
                  {
                    traceId: '5b8efff798038103d269b633813fc60c',
                    spanId: 'eee19b7ec3c1b174',
                    name: 'mail to gina@example.com now',
                    attributes,
                    events: [{ timeUnixNano: '1', name: 'for hal@example.com', attributes }],
                    links: [
                      { traceId: '5b8efff798038103d269b633813fc60c', spanId: 'eee19b7ec3c1b174', attributes },
                    ],
                    status: { message: 'no such user ivy@example.com', code: 2 },
                  },
                ],
              },
            ],
          },
        ],
      },
      'traces',
    )
    expect(redactedJson).not.toMatch(
      /(alice|bob|carol|dave|eve|zoe|gina|hal|ivy)(@|%40)example|4111111111111111|Zoë/,
    )
    expect(tokens.filter(({ outcome }) => !outcome.isOpen)).toEqual([])
    expect(tokens.length).toBeGreaterThan(40)
    expect(json).toBe(original)
  })

  test('logs', async () => {
    const { tokens, json, original, redactedJson } = await thereAndBack(
      {
        resourceLogs: [
          {
            resource: { attributes: [{ key: 'service.name', value: mail('shop') }] },
            scopeLogs: [
              {
                logRecords: [
                  { body: mail('login of alice@example.com failed'), attributes },
                  { body: { kvlistValue: { values: attributes } } },
                  { body: { arrayValue: { values: [mail('bob@example.com'), mail('x')] } } },
                ],
              },
            ],
          },
        ],
      },
      'logs',
    )
    expect(redactedJson).not.toMatch(/@example/)
    expect(tokens.filter(({ outcome }) => !outcome.isOpen)).toEqual([])
    expect(tokens.length).toBeGreaterThan(20)
    expect(json).toBe(original)
  })

  test('any text around and between what is found', async () => {
    const piece = fc.oneof(
      fc.constantFrom(
        'alice@example.com',
        'bob@example.org',
        '4111 1111 1111 1111',
        ' ',
        '_',
        '-',
        'é',
        '=',
        'enc.v1.',
        '.',
      ),
      fc.string({ maxLength: 5 }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (pieces) => {
        const span = {
          traceId: '5b8efff798038103d269b633813fc60c',
          spanId: 'eee19b7ec3c1b174',
          name: pieces.join(''),
        }
        const values = [{ key: 'text', value: mail(pieces.join('')) }]
        const scopeSpans = [{ spans: [{ ...span, attributes: values }] }]
        const resource = { attributes: [{ key: 'service.name', value: mail('shop') }] }
        const { tokens, json, original } = await thereAndBack(
          { resourceSpans: [{ resource, scopeSpans }] },
          'traces',
        )
        const isLikeOne = /enc\.v1\.[A-Za-z0-9_-]{8}/.test(pieces.join(''))
        const unopened = tokens.filter(({ outcome }) => !outcome.isOpen)
        if (!isLikeOne) expect(unopened).toEqual([])
        for (const { outcome } of unopened) expect(outcome).toMatchObject({ failure: 'damaged' })
        expect(json).toBe(original)
      }),
      { numRuns: 200 },
    )
  })

  test('and the announcement that redaction adds is the one that unwraps', async () => {
    const opener = await OpeningKey.unwrap(kms, sealer.announcement, undefined, never)
    expect(opener.announcement.classes).toEqual(rules.dataClasses)
  })
})
