import { createSecretKey } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Evidence, type KeyLookup } from '../../../src/evidence/evidence.ts'
import { type Verdict, Verifier, verifyTraces } from '../../../src/evidence/verify.ts'
import { jsonToProtobuf, protobufToJson } from '../../../src/wire/json.ts'
import {
  attribute,
  BOOT_ID,
  compliant,
  decode,
  encode,
  lookup,
  type Message,
  NOW_NS,
  request,
  resourceSpans,
  span,
  testKey,
} from './otlp.ts'

const key = testKey('k1')
const otherKey = testKey('k2')
const keys = lookup(key, otherKey)

const newEvidence = (): Evidence =>
  new Evidence({ instanceId: 'i', bootId: BOOT_ID, policy: { proof: 'inline' } }, () => undefined)

function signedBy(by: typeof key, spans: Message[], evidence = newEvidence()): Uint8Array {
  return evidence.sign(encode(request(spans)), ['acme'], new Map([['acme', by]]), NOW_NS).body
}

const signedSpans = (): Message[] => [0, 1, 2, 3, 4].map((index) => span(index, [compliant]))
const verdicts = (body: Uint8Array): Verdict[] =>
  verifyTraces(body, { keys }).spans.map(({ verdict }) => verdict)
const spansOf = (decoded: Message): Message[] => decoded.resourceSpans[0].scopeSpans[0].spans
const attributeOf = (of: Message, name: string): Message =>
  of.attributes.find((each: Message) => each.key === name)

/** Signs five spans, changes what was signed, and returns the verdicts. */
function afterEdit(edit: (spans: Message[], decoded: Message) => void): Verdict[] {
  const decoded = decode(signedBy(key, signedSpans()))
  edit(spansOf(decoded), decoded)
  return verdicts(encode(decoded))
}

test('untouched, every span is valid', () => {
  expect(verdicts(signedBy(key, signedSpans()))).toEqual(Array(5).fill('valid'))
})

test('every single flipped bit of a signed span, its resource and its scope is noticed', () => {
  // Only what is covered: no flags, no uncovered resource attribute, no `true` (any varint but 0 means true).
  const covered = span(7, [compliant])
  delete covered.flags
  const message = request([covered])
  message.resourceSpans[0].resource.attributes.pop()
  const signed = newEvidence().sign(encode(message), ['acme'], new Map([['acme', key]]), NOW_NS)
  expect(signed.signedCount).toBe(1)
  const verifier = new Verifier({ keys })
  const bytes = Buffer.from(signed.body)
  expect(verifier.add(bytes).map(({ verdict }) => verdict)).toEqual(['valid'])
  const unnoticed: string[] = []
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    if (holdsValidSpan(verifier, bytes)) unnoticed.push(`byte ${bit >> 3} bit ${bit & 7}`)
    bytes[bit >> 3]! ^= 1 << (bit & 7)
  }
  expect(unnoticed).toEqual([])
})

test('a request cut off at any byte holds no valid span', () => {
  const bytes = signedBy(key, [span(7, [compliant])])
  const verifier = new Verifier({ keys })
  for (let length = 0; length < bytes.length; length++) {
    expect(holdsValidSpan(verifier, bytes.subarray(0, length)), `cut at ${length}`).toBe(false)
  }
})

function holdsValidSpan(verifier: Verifier, bytes: Uint8Array): boolean {
  try {
    return verifier.add(bytes).some(({ verdict }) => verdict === 'valid')
  } catch {
    return false
  }
}

const EDITS: readonly (readonly [name: string, edit: (target: Message) => void])[] = [
  [
    'trace id',
    (s) => {
      s.traceId[0] ^= 1
    },
  ],
  [
    'span id',
    (s) => {
      s.spanId[7] ^= 1
    },
  ],
  [
    'parent span id',
    (s) => {
      s.parentSpanId[0] ^= 1
    },
  ],
  ['parent span id removed', (s) => void delete s.parentSpanId],
  [
    'trace state',
    (s) => {
      s.traceState = 'vendor=abd'
    },
  ],
  [
    'name',
    (s) => {
      s.name += ' '
    },
  ],
  [
    'kind',
    (s) => {
      s.kind = 3
    },
  ],
  [
    'start',
    (s) => {
      s.startTimeUnixNano = '1700000000000000002'
    },
  ],
  [
    'end',
    (s) => {
      s.endTimeUnixNano = '1700000000000000003'
    },
  ],
  ['start and end swapped', (s) => swap(s, 'startTimeUnixNano', 'endTimeUnixNano')],
  [
    'status code',
    (s) => {
      s.status.code = 1
    },
  ],
  [
    'status message',
    (s) => {
      s.status.message = 'fine'
    },
  ],
  ['status removed', (s) => void delete s.status],
  [
    'attribute value',
    (s) => {
      attributeOf(s, 'url.path').value.stringValue = '/'
    },
  ],
  [
    'attribute key',
    (s) => {
      attributeOf(s, 'url.path').key = 'url.paths'
    },
  ],
  ['attribute removed', (s) => void s.attributes.shift()],
  ['attribute added', (s) => void s.attributes.push(attribute('x', 'y'))],
  ['attribute doubled', (s) => void s.attributes.push(s.attributes[0])],
  ['string to bytes', (s) => retype(s, 'url.path', { bytesValue: Buffer.from('/orders/2') })],
  ['int to string', (s) => retype(s, 'http.response.status_code', { stringValue: '200' })],
  ['int to double', (s) => retype(s, 'http.response.status_code', { doubleValue: 200 })],
  ['value removed', (s) => void delete attributeOf(s, 'url.path').value],
  ['array order', (s) => void attributeOf(s, 'tags').value.arrayValue.values.reverse()],
  [
    'nested value',
    (s) => {
      attributeOf(s, 'nested').value.kvlistValue.values[0].value.stringValue = '!'
    },
  ],
  [
    'event name',
    (s) => {
      s.events[0].name = 'x'
    },
  ],
  [
    'event time',
    (s) => {
      s.events[0].timeUnixNano = '1'
    },
  ],
  [
    'event attribute',
    (s) => {
      s.events[0].attributes[0].value.stringValue = 'F'
    },
  ],
  ['event order', (s) => void s.events.reverse()],
  ['event removed', (s) => void s.events.pop()],
  ['event attribute moved to the other event', (s) => swap2(s.events)],
  [
    'link trace id',
    (s) => {
      s.links[0].traceId[0] = 1
    },
  ],
  ['link attribute', (s) => void s.links[0].attributes.pop()],
  [
    'link removed',
    (s) => {
      s.links = []
    },
  ],
]

function swap(of: Message, left: string, right: string): void {
  ;[of[left], of[right]] = [of[right], of[left]]
}

function swap2(events: Message[]): void {
  ;[events[0].attributes, events[1].attributes] = [events[1].attributes, events[0].attributes]
}

function retype(of: Message, name: string, value: Message): void {
  attributeOf(of, name).value = value
}

test.each(EDITS)('an edited span is tampered, and only that one: %s', (_name, edit) => {
  expect(afterEdit((spans) => edit(spans[2]))).toEqual(['valid', 'valid', 'tampered', 'valid', 'valid'])
})

test.each([
  [
    'service name',
    (d: Message) => {
      d.resourceSpans[0].resource.attributes[0].value.stringValue = 'x'
    },
  ],
  [
    'its own tenant added',
    (d: Message) => void d.resourceSpans[0].resource.attributes.push(attribute('betrace.tenant', 'acme')),
  ],
  ['resource removed', (d: Message) => void delete d.resourceSpans[0].resource],
  [
    'scope name',
    (d: Message) => {
      d.resourceSpans[0].scopeSpans[0].scope.name = 'x'
    },
  ],
  [
    'scope version',
    (d: Message) => {
      d.resourceSpans[0].scopeSpans[0].scope.version = '1.2.4'
    },
  ],
])('a change around the spans makes all of them tampered: %s', (_name, edit) => {
  expect(afterEdit((_spans, decoded) => edit(decoded))).toEqual(Array(5).fill('tampered'))
})

describe('signatures that are moved, removed or exchanged', () => {
  const names = ['', '.algorithm', '.timestamp', '.key_id', '.proof'].map((end) => `span.signature${end}`)
  const only = (index: number, verdict: Verdict): Verdict[] =>
    Array.from({ length: 5 }, (_, i) => (i === index ? verdict : 'valid'))

  test('stripping all of it leaves an unsigned span, which is never valid and is reported', () => {
    const decoded = decode(signedBy(key, signedSpans()))
    const stripped = spansOf(decoded)[1]
    stripped.attributes = stripped.attributes.filter(
      (each: Message) => !each.key.startsWith('span.signature'),
    )
    const { spans, summary } = verifyTraces(encode(decoded), { keys, expected: 'compliance' })
    expect(spans.map(({ verdict }) => verdict)).toEqual(only(1, 'unsigned'))
    expect(spans[1]!.isMissingSignature).toBe(true)
    expect(summary).toMatchObject({ outcome: 'bad', missingSignatureCount: 1 })
  })

  test.each(names)('stripping only %s is a bad proof', (name) => {
    const strip = (spans: Message[]): void => {
      spans[1].attributes = spans[1].attributes.filter((each: Message) => each.key !== name)
    }
    expect(afterEdit(strip)).toEqual(only(1, 'bad_proof'))
  })

  test.each(names)('doubling %s is a bad proof', (name) => {
    expect(afterEdit((spans) => void spans[1].attributes.push(attributeOf(spans[1], name)))).toEqual(
      only(1, 'bad_proof'),
    )
  })

  test.each(names)('%s as another type is a bad proof', (name) => {
    const retypeIt = (spans: Message[]): void => {
      const { stringValue } = attributeOf(spans[1], name).value
      attributeOf(spans[1], name).value = { bytesValue: Buffer.from(stringValue) }
    }
    expect(afterEdit(retypeIt)).toEqual(only(1, 'bad_proof'))
  })

  test('an unknown signature attribute is a bad proof', () => {
    const add = (spans: Message[]): void => void spans[1].attributes.push(attribute('span.signature.x', ''))
    expect(afterEdit(add)).toEqual(only(1, 'bad_proof'))
  })

  test('all five attributes of one span put on another: tampered', () => {
    const move = (spans: Message[]): void => {
      for (const name of names) attributeOf(spans[1], name).value = attributeOf(spans[3], name).value
    }
    expect(afterEdit(move)).toEqual(only(1, 'tampered'))
  })

  test('a span put under another resource or scope: tampered', () => {
    const splice = (_spans: Message[], decoded: Message): void => {
      const [moved] = decoded.resourceSpans[0].scopeSpans[0].spans.splice(0, 1)
      decoded.resourceSpans.push(resourceSpans([moved], 'other-service'))
    }
    expect(afterEdit(splice)).toEqual(['valid', 'valid', 'valid', 'valid', 'tampered'])
  })

  test('a proof of another batch of the same stream: bad proof, since its signature is another', () => {
    const evidence = newEvidence()
    const first = decode(signedBy(key, signedSpans(), evidence))
    const second = decode(signedBy(key, signedSpans().reverse(), evidence))
    attributeOf(spansOf(first)[0], names[4]!).value = attributeOf(spansOf(second)[4], names[4]!).value
    expect(verdicts(encode(first))).toEqual(only(0, 'bad_proof'))
  })

  test('signed by an unknown key, or a revoked one: cannot tell', () => {
    const body = signedBy(testKey('k9'), signedSpans())
    expect(verifyTraces(body, { keys }).summary.outcome).toBe('unknown')
    const revoked = verifyTraces(signedBy(key, signedSpans()), {
      keys: (id) => ({ ...keys(id, undefined, 'ed25519-merkle-v1')!, isRevoked: true }),
    })
    expect(revoked.summary).toMatchObject({ outcome: 'unknown', counts: { unknown_key: 5 } })
  })

  test('signed by another key under a known id: bad proof', () => {
    expect(verdicts(signedBy(testKey('k1'), signedSpans()))).toEqual(Array(5).fill('bad_proof'))
  })

  test('the key id of another known key: bad proof', () => {
    const rename = (spans: Message[]): void => {
      attributeOf(spans[1], names[3]!).value = { stringValue: 'k2' }
    }
    expect(afterEdit(rename)).toEqual(only(1, 'bad_proof'))
  })

  test.each(['none', 'ed25519', 'hmac-sha256', 'ED25519-MERKLE-V1', ''])(
    'downgrade to algorithm %j: bad proof',
    (name) => {
      const downgrade = (spans: Message[]): void => {
        attributeOf(spans[1], names[1]!).value = { stringValue: name }
      }
      expect(afterEdit(downgrade)).toEqual(only(1, 'bad_proof'))
    },
  )

  test('an HMAC made with the public key as its secret is a bad proof, not valid', () => {
    const secret = createSecretKey(key.publicKey)
    const evidence = new Evidence(
      { policy: { algorithm: 'hmac-sha256' }, instanceId: 'i', bootId: BOOT_ID },
      () => undefined,
    )
    const forging = new Map([['acme', { keyId: 'k1', privateKey: secret }]])
    const { body, signedCount } = evidence.sign(encode(request(signedSpans())), ['acme'], forging, NOW_NS)
    expect(signedCount).toBe(5)
    expect(verdicts(body)).toEqual(Array(5).fill('bad_proof'))
    const asSecret = verifyTraces(body, {
      keys: () => ({ algorithm: 'hmac-sha256', key: secret, tenant: 'acme' }),
    })
    expect(asSecret.summary.counts.valid).toBe(5)
  })

  test.each([
    ['a leading zero in the index', (text: string) => text.replace('v1.1.', 'v1.01.')],
    ['a plus sign in the index', (text: string) => text.replace('v1.1.', 'v1.+1.')],
    ['another version', (text: string) => text.replace('v1.', 'v2.')],
    ['padding', (text: string) => `${text}=`],
    ['a node more', (text: string) => text + 'A'.repeat(43)],
    ['a node less', (text: string) => text.slice(0, -43)],
    ['half a node', (text: string) => text.slice(0, -20)],
    ['a newline at the end', (text: string) => `${text}\n`],
    ['an index beyond the tree', (text: string) => text.replace('v1.1.', 'v1.5.')],
    ['an enormous index', (text: string) => text.replace('v1.1.', `v1.${'9'.repeat(20)}.`)],
    ['no path', (text: string) => text.slice(0, text.lastIndexOf('.'))],
  ])('a proof with %s is a bad proof', (_name, edit) => {
    const change = (spans: Message[]): void => {
      const { value } = attributeOf(spans[1], names[4]!)
      value.stringValue = edit(value.stringValue)
    }
    expect(afterEdit(change)).toEqual(only(1, 'bad_proof'))
  })

  test('another index in the proof is tampered', () => {
    const change = (spans: Message[]): void => {
      const { value } = attributeOf(spans[1], names[4]!)
      value.stringValue = value.stringValue.replace('v1.1.', 'v1.2.')
    }
    expect(afterEdit(change)).toEqual(only(1, 'tampered'))
  })
})

describe("a signature is its tenant's, and no other's", () => {
  const tenantOf = (edit: (attributes: Message[]) => void): Verdict[] =>
    afterEdit((_spans, decoded) => edit(decoded.resourceSpans[0].resource.attributes))

  test('under a resource that names another tenant: bad proof, also where the name is not covered', () => {
    const other = (attributes: Message[]): void => void attributes.push(attribute('betrace.tenant', 'beta'))
    expect(tenantOf(other)).toEqual(Array(5).fill('bad_proof'))
    const evidence = new Evidence(
      { policy: { tenantAttribute: '' }, instanceId: 'i', bootId: BOOT_ID },
      () => undefined,
    )
    const decoded = decode(signedBy(key, signedSpans(), evidence))
    expect(verdicts(encode(decoded))).toEqual(Array(5).fill('valid'))
    other(decoded.resourceSpans[0].resource.attributes)
    expect(verdicts(encode(decoded))).toEqual(Array(5).fill('bad_proof'))
  })

  test('by a key of another tenant: unknown key, though its id and signature are good', () => {
    const ofBeta: KeyLookup = (id, tenant, algorithm) =>
      tenant === 'beta' ? keys(id, tenant, algorithm) : undefined
    const { summary } = verifyTraces(signedBy(key, signedSpans()), { keys: ofBeta })
    expect(summary).toMatchObject({ outcome: 'unknown', counts: { unknown_key: 5 } })
  })

  test('a name of a tenant that is empty, or no text, is none', () => {
    for (const value of ['', { intValue: 5 }]) {
      const message = request(signedSpans())
      message.resourceSpans[0].resource.attributes.push(attribute('betrace.tenant', value))
      const { body } = newEvidence().sign(encode(message), ['acme'], new Map([['acme', key]]), NOW_NS)
      expect(verdicts(body)).toEqual(Array(5).fill('valid'))
    }
  })
})

describe('a key counts until it ended', () => {
  const endingAt =
    (notAfterMs: number): KeyLookup =>
    (id, tenant, algorithm) => ({
      ...keys(id, tenant, algorithm)!,
      notAfterMs,
    })
  const signedAtMs = Number(NOW_NS / 1_000_000n)

  test.each([
    [signedAtMs + 1, 'valid'],
    [signedAtMs, 'unknown_key'],
    [signedAtMs - 1, 'unknown_key'],
  ])('ended at %d: %s', (notAfterMs, verdict) => {
    const { spans } = verifyTraces(signedBy(key, signedSpans()), { keys: endingAt(notAfterMs) })
    expect(spans[0]).toMatchObject({ verdict })
    if (verdict !== 'valid') expect(spans[0]!.reason).toContain('had ended')
  })

  test('a secret too', () => {
    const secret = createSecretKey(Buffer.alloc(32, 1))
    const evidence = new Evidence(
      { policy: { algorithm: 'hmac-sha256' }, instanceId: 'i', bootId: BOOT_ID },
      () => undefined,
    )
    const signing = new Map([['acme', { keyId: 's1', privateKey: secret }]])
    const { body } = evidence.sign(encode(request(signedSpans())), ['acme'], signing, NOW_NS)
    const verdictAt = (notAfterMs: number): Verdict =>
      verifyTraces(body, {
        keys: () => ({ algorithm: 'hmac-sha256', key: secret, tenant: 'acme', notAfterMs }),
      }).spans[0]!.verdict
    expect([verdictAt(signedAtMs + 1), verdictAt(signedAtMs - 1)]).toEqual(['valid', 'unknown_key'])
  })
})

test('a deleted span is told as missing in this file, and is no failure by itself', () => {
  const decoded = decode(signedBy(key, signedSpans()))
  spansOf(decoded).splice(1, 2)
  const { summary } = verifyTraces(encode(decoded), { keys })
  expect(summary.outcome).toBe('good')
  expect(summary.incomplete).toMatchObject([
    { tenant: 'acme', number: 1, leafCount: 5, seenCount: 3, missing: [[1, 2]] },
  ])
})

describe('harmless changes on the way', () => {
  const body = signedBy(key, signedSpans())
  const reversed = (decoded: Message): void => {
    for (const each of spansOf(decoded)) {
      each.attributes.reverse()
      attributeOf(each, 'nested').value.kvlistValue.values.reverse()
    }
  }
  const CHANGES: readonly (readonly [name: string, change: (body: Uint8Array) => Uint8Array])[] = [
    ['re-marshalled by protobufjs', (bytes) => encode(decode(bytes))],
    [
      'through JSON and back',
      (bytes) => jsonToProtobuf(Buffer.from(protobufToJson(bytes, 'traces')), 'traces'),
    ],
    [
      'through another JSON writer and back',
      (bytes) => {
        const json = JSON.parse(protobufToJson(bytes, 'traces'))
        return jsonToProtobuf(Buffer.from(JSON.stringify(json, null, 2)), 'traces')
      },
    ],
    ['attributes and kvlists reordered', (bytes) => edited(bytes, reversed)],
    ['spans reordered', (bytes) => edited(bytes, (decoded) => void spansOf(decoded).reverse())],
    [
      'one request per span',
      (bytes) =>
        edited(bytes, (decoded) => {
          const [{ resource, scopeSpans }] = decoded.resourceSpans
          const { scope, spans } = scopeSpans[0]
          decoded.resourceSpans = spans.map((each: Message) => ({
            resource,
            scopeSpans: [{ scope, spans: [each] }],
          }))
        }),
    ],
    [
      'uncovered things changed: flags, dropped counts, schema URLs, other resource and scope attributes',
      (bytes) =>
        edited(bytes, (decoded) => {
          const [group] = decoded.resourceSpans
          group.schemaUrl = 'https://example.com/1'
          group.scopeSpans[0].schemaUrl = 'https://example.com/2'
          group.scopeSpans[0].scope.attributes = [attribute('added', 'x')]
          group.resource.attributes.push(attribute('k8s.pod.name', 'p'), attribute('betrace.key.abc', 'x'))
          for (const each of spansOf(decoded)) {
            each.flags = 0
            each.droppedAttributesCount = 9
          }
        }),
    ],
    [
      'absent parts written as their defaults',
      (bytes) =>
        edited(bytes, (decoded) => {
          for (const each of spansOf(decoded)) each.links[0].traceState = ''
          spansOf(decoded)[0].events[1].attributes = []
        }),
    ],
  ]

  test.each(CHANGES)('%s: all valid', (_name, change) => {
    expect(verdicts(change(body))).toEqual(Array(5).fill('valid'))
  })

  function edited(bytes: Uint8Array, edit: (decoded: Message) => void): Uint8Array {
    const decoded = decode(bytes)
    edit(decoded)
    return encode(decoded)
  }
})
