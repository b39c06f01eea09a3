// Signed exports read and written again by the protobuf runtimes of Go, Java and Python: every signature still holds, in both
// forms, and the bytes are others. BETRACE_REMARSHAL_SEED repeats a failing run.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Evidence } from '../../src/evidence/evidence.ts'
import { Verifier } from '../../src/evidence/verify.ts'
import {
  attribute,
  BOOT_ID,
  compliant,
  decode,
  encode,
  lookup,
  type Message,
  NOW_NS,
  resourceSpans,
  span,
  testKey,
} from '../unit/evidence/otlp.ts'
import { CLIENT_NAMES } from './clients.ts'
import { install, missingToolchain } from './tools.ts'

const GROUPS = 12
const SPANS = 30
const SEED = Number(process.env.BETRACE_REMARSHAL_SEED ?? (Date.now() % 1_000_000) + 1)
console.log(`BETRACE_REMARSHAL_SEED=${SEED}`)
let state = SEED
const random = (below: number): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((state / 2 ** 32) * below)
}

const folder = mkdtempSync(join(tmpdir(), 'betrace-remarshal-'))
afterAll(() => rmSync(folder, { recursive: true }))
const key = testKey('k1')

const VALUES: readonly (() => Message)[] = [
  () => ({ stringValue: ['', 'é🦊', '\u0000', 'x'.repeat(300)][random(4)] }),
  () => ({ intValue: String(BigInt(random(2 ** 32)) * -4_294_967_291n) }),
  () => ({ doubleValue: [0, -0, Number.NaN, 1e300, Number.NEGATIVE_INFINITY][random(5)] }),
  () => ({ boolValue: random(2) === 0 }),
  () => ({ bytesValue: Buffer.from([0, 255, random(256)]) }),
  () => ({ arrayValue: { values: [{}, { stringValue: '' }, { intValue: '0' }] } }),
  () => ({
    kvlistValue: { values: [attribute('b', { boolValue: false }), attribute('a', 'x'), { key: 'none' }] },
  }),
  () => ({}),
]

function signed(proof: 'inline' | 'compact'): Uint8Array {
  const groups = Array.from({ length: GROUPS }, (_, group) =>
    resourceSpans(
      Array.from({ length: SPANS }, (_, i) => {
        const more = Array.from({ length: random(6) }, (_, n) => attribute(`k${n}`, VALUES[random(8)]!()))
        return span(group * SPANS + i, [compliant, ...more])
      }),
      `service-${group}`,
    ),
  )
  const evidence = new Evidence({ instanceId: 'i', bootId: BOOT_ID, policy: { proof } }, () => undefined)
  const tenants = new Array<string>(GROUPS).fill('acme')
  return evidence.sign(encode({ resourceSpans: groups }), tenants, new Map([['acme', key]]), NOW_NS).body
}

describe.each(CLIENT_NAMES)('%s', (name) => {
  const isHere = missingToolchain(name) === undefined

  test.skipIf(!isHere).each(['inline', 'compact'] as const)(
    'reads and writes %s signatures',
    async (proof) => {
      const { command, args } = await install(name)
      const body = signed(proof)
      // Fields in another order than runtimes write them in.
      const decoded = decode(body)
      for (const group of decoded.resourceSpans) group.resource.attributes.reverse()
      const [given, written] = ['in', 'out'].map((each) => join(folder, `${name}-${proof}.${each}`)) as [
        string,
        string,
      ]
      writeFileSync(given, encode(decoded))
      execFileSync(command, [...args, 'remarshal', given, written], {
        env: { ...process.env, PLANTED_EMAIL: '', PLANTED_CARD: '' },
      })
      const again = readFileSync(written)
      expect(Buffer.compare(again, body)).not.toBe(0)
      const verifier = new Verifier({ keys: lookup(key), expected: 'policy', isComplete: true })
      verifier.add(again)
      expect(verifier.summary()).toMatchObject({ outcome: 'good', counts: { valid: GROUPS * SPANS } })
    },
  )
})
