// The verdict on a span is a matter of the span and the keys, not of what was verified before it.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Evidence } from '../../../src/evidence/evidence.ts'
import { SignatureKey } from '../../../src/evidence/proof.ts'
import { type SpanVerdict, Verifier } from '../../../src/evidence/verify.ts'
import {
  BOOT_ID,
  compliant,
  decode,
  encode,
  lookup,
  type Message,
  NOW_NS,
  request,
  span,
  testKey,
} from './otlp.ts'

const SEED = Number(process.env.FC_SEED ?? Date.now() % 2 ** 31)
console.log(`fast-check seed ${SEED}`)

const key = testKey('k1')
const keys = lookup(key)

function signed(bootId = BOOT_ID, instanceId = 'i'): Uint8Array {
  const evidence = new Evidence({ instanceId, bootId, policy: { proof: 'inline' } }, () => undefined)
  return evidence.sign(encode(request([span(0, [compliant])])), ['acme'], new Map([['acme', key]]), NOW_NS)
    .body
}

const genuine = signed()
const textOf = (name: string): string =>
  decode(genuine).resourceSpans[0].scopeSpans[0].spans[0].attributes.find(
    (each: Message) => each.key === name,
  ).value.stringValue

const FIELDS = [SignatureKey.SIGNATURE, SignatureKey.TIMESTAMP, SignatureKey.KEY_ID, SignatureKey.PROOF]

/** The signed span with other texts in its signature's attributes. */
function forged(texts: Readonly<Partial<Record<string, string>>>): Uint8Array {
  const message = decode(genuine)
  for (const attribute of message.resourceSpans[0].scopeSpans[0].spans[0].attributes)
    if (texts[attribute.key] !== undefined) attribute.value = { stringValue: texts[attribute.key] }
  return encode(message)
}

const alone = (body: Uint8Array): SpanVerdict[] => new Verifier({ keys }).add(body)

test('of two texts that read alike when they are joined, each is judged by itself', () => {
  const [first, second] = [
    forged({ [SignatureKey.SIGNATURE]: 'AA\nBB', [SignatureKey.TIMESTAMP]: 'CC' }),
    forged({ [SignatureKey.SIGNATURE]: 'AA', [SignatureKey.TIMESTAMP]: 'BB\nCC' }),
  ]
  expect(alone(first)).not.toEqual(alone(second))
  const verifier = new Verifier({ keys })
  expect(verifier.add(first)).toEqual(alone(first))
  expect(verifier.add(second)).toEqual(alone(second))
})

test('a verdict is the same alone and after any others', () => {
  const part = fc.constantFrom('AA', 'BB', '\n', '.', '"', '1', 'k1', '')
  const text = (name: string): fc.Arbitrary<string> =>
    fc.oneof(
      fc.constant(textOf(name)),
      fc.array(part, { maxLength: 4 }).map((parts) => parts.join('')),
      part.map((more) => textOf(name) + more),
    )
  const body = fc.record(Object.fromEntries(FIELDS.map((name) => [name, text(name)]))).map(forged)
  fc.assert(
    fc.property(fc.array(body, { maxLength: 8 }), (bodies) => {
      const verifier = new Verifier({ keys })
      for (const each of [genuine, ...bodies, ...bodies.toReversed(), genuine])
        expect(verifier.add(each)).toEqual(alone(each))
    }),
    { numRuns: 100, seed: SEED },
  )
})

test('batches of two streams stay two, whatever they hold', () => {
  const verifier = new Verifier({ keys })
  for (const body of [genuine, signed(Buffer.alloc(16, 9)), signed(BOOT_ID, 'other')]) verifier.add(body)
  expect(verifier.summary()).toMatchObject({ batchCount: 3, repeatedCount: 0 })
  verifier.add(genuine)
  expect(verifier.summary()).toMatchObject({ batchCount: 3, repeatedCount: 1 })
})
