// Looks for input whose cost grows faster than its size: requests of random parts, each made n, 2n and 4n large, and the
// bytes that redaction, signing and verifying look at, and the memory of their edits, for each byte.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Evidence, type SigningKey } from '../../../src/evidence/evidence.ts'
import { Policy } from '../../../src/evidence/policy.ts'
import { SelectedSpans } from '../../../src/evidence/selected-spans.ts'
import { Verifier } from '../../../src/evidence/verify.ts'
import { REDACTION_DEFAULTS } from '../../../src/redaction/options.ts'
import { Redactor } from '../../../src/redaction/redactor.ts'
import { compileRules } from '../../../src/redaction/rules.ts'
import { scan } from '../../../src/wire/scan.ts'
import type { Writer } from '../../../src/wire/write.ts'
import { BOOT_ID, lookup, NOW_NS, testKey } from '../evidence/otlp.ts'
import { SteadySealer, testTenant } from '../redaction/test-keys.ts'
import { attribute, bytesOf, inside, times } from '../wire/shapes.ts'

const seed = Number(process.env.FC_SEED ?? Date.now() % 1_000_000)
console.info(`linear work: FC_SEED=${seed}`)
const RUNS = 15
/** Above the 64 entries up to which evidence sorts by insertion. */
const SIZE = 70
/** Ratios differ by what is there once, such as ids, and by levels of trees; a product would double and double again. */
const GROWTH_MAX = 1.6
const GROUPS_MAX = 10_000

const key = testKey('k1')
const TENANTS = ['acme', 'globex', 'initech']
const keys = new Map<string, SigningKey>(TENANTS.map((name) => [name, key]))
/** By the number of tenants in a request, one after the other. */
const tenantsOf = (count: number): string[] =>
  Array.from({ length: GROUPS_MAX }, (_, group) => TENANTS[group % count]!)
const sealers = TENANTS.map((name) => ({
  ...testTenant(name),
  sealer: new SteadySealer(name, `first-${name}`),
}))
const sealersOf = (count: number): (typeof sealers)[number][] =>
  Array.from({ length: GROUPS_MAX }, (_, group) => sealers[group % count]!)
const rules = compileRules(REDACTION_DEFAULTS)

const TEXTS = ['plain', 'token=x ', 'a@b.example', '4-1.2 3', 'kim@example.com, ', '\u00e9\u2028', '=:"\\']
/** n of something in a list of attributes at `field`. */
type Part = (out: Writer, field: number, n: number, text: string) => void

const list = (out: Writer, field: number, name: string, type: 5 | 6, write: () => void): void =>
  inside(out, field, () => {
    out.string(1, name)
    inside(out, 2, () => inside(out, type, write))
  })

const PARTS: Readonly<Record<string, Part>> = {
  'empty attributes': (out, field, n) => times(n * 20, () => inside(out, field)),
  'equal keys': (out, field, n, text) => times(n, () => attribute(out, field, 'k', text)),
  'different keys': (out, field, n, text) =>
    times(n, (i) => attribute(out, field, `k${(i * 7919) % n}`, text)),
  'a long value': (out, field, n, text) => attribute(out, field, 'note', text.repeat(n)),
  'a long key': (out, field, n) => attribute(out, field, 'k'.repeat(n * 10), 'v'),
  'long beginnings': (out, field, n) =>
    times(n, (i) => attribute(out, field, `${'k'.repeat(60)}${(i * 31) % n}`, 'v')),
  // A sealed value is bound to its whole path, so there is nothing to seal here.
  'a long key over a map': (out, field, n) =>
    list(out, field, 'k'.repeat(n * 10), 6, () => times(n, (i) => attribute(out, 1, `c${i}`, 'v'))),
  'a long array': (out, field, n, text) =>
    list(out, field, 'list', 5, () => times(n * 4, () => inside(out, 1, () => out.string(1, text)))),
  'empty elements': (out, field, n) => list(out, field, 'list', 5, () => times(n * 20, () => inside(out, 1))),
  'unknown fields': (out, _field, n, text) => times(n, () => out.string(999, text)),
  'no utf-8': (out, field, n) => times(n, () => inside(out, field, () => out.bytes(1, Uint8Array.of(0xff)))),
}

interface Plan {
  readonly resource: readonly Filling[]
  readonly scope: readonly Filling[]
  readonly span: readonly Filling[]
  readonly event: readonly Filling[]
  /** What there are n of; of the others there is one. */
  readonly many: 'groups' | 'scopes' | 'spans' | 'events' | 'links' | 'nothing'
  /** Of how many the groups are, in turn. */
  readonly tenantCount: number
  readonly manyToo: 'groups' | 'scopes' | 'spans' | 'events' | 'links' | 'nothing'
}
interface Filling {
  readonly part: string
  readonly text: string
}

const filling = fc.record({ part: fc.constantFrom(...Object.keys(PARTS)), text: fc.constantFrom(...TEXTS) })
const fillings = fc.array(filling, { maxLength: 2 })
const many = fc.constantFrom('groups', 'scopes', 'spans', 'events', 'links', 'nothing' as const)
const plan = fc.record({
  resource: fillings,
  scope: fillings,
  span: fillings,
  event: fillings,
  many,
  manyToo: many,
  tenantCount: fc.integer({ min: 1, max: TENANTS.length }),
})

/** Parts are large where what they are in is there once; where there are many of it, they are of one size. */
function build({ resource, scope, span, event, ...counts }: Plan, n: number): Uint8Array {
  const countOf = (what: Plan['many']): number => {
    if (counts.many !== what && counts.manyToo !== what) return 1
    const isProduct =
      counts.many !== counts.manyToo && counts.many !== 'nothing' && counts.manyToo !== 'nothing'
    return isProduct ? Math.ceil(Math.sqrt(n)) : n
  }
  const fill = (out: Writer, field: number, around: number, parts: readonly Filling[]): void => {
    for (const { part, text } of parts) PARTS[part]!(out, field, around > 1 ? 2 : n, text)
  }
  const [groups, scopes, spans] = [countOf('groups'), countOf('scopes'), countOf('spans')]
  const [events, links] = [countOf('events'), countOf('links')]
  const writeSpan = (out: Writer): void =>
    inside(out, 2, () => {
      out.bytes(1, new Uint8Array(16).fill(1))
      out.bytes(2, new Uint8Array(8).fill(2))
      attribute(out, 9, 'compliance.control', 'AC-2')
      fill(out, 9, groups * scopes * spans, span)
      times(events, () => inside(out, 11, () => fill(out, 3, groups * scopes * spans * events, event)))
      times(links, () => inside(out, 13, () => fill(out, 4, groups * scopes * spans * links, event)))
    })
  return bytesOf((out) =>
    times(groups, () =>
      inside(out, 1, () => {
        inside(out, 1, () => fill(out, 1, groups, resource))
        times(scopes, () =>
          inside(out, 2, () => {
            inside(out, 1, () => fill(out, 3, groups * scopes, scope))
            times(spans, () => writeSpan(out))
          }),
        )
      }),
    ),
  )
}

/** Bytes looked at, and the bytes that they were looked at for. */
interface Cost {
  readonly work: number
  readonly size: number
}
type Costs = Readonly<Record<'redaction' | 'signing' | 'replayed' | 'repeated', Cost>>

function costsOf(body: Uint8Array, tenantCount = 1): Costs & { readonly edits: Cost } {
  const tenants = tenantsOf(tenantCount)
  const redactor = new Redactor(rules)
  redactor.begin(body, 'traces', sealersOf(tenantCount))
  scan(body, 'traces', redactor, redactor.editor.edits)
  const spans = new SelectedSpans(new Policy(), undefined)
  spans.find(body, tenants)
  const evidence = new Evidence({ instanceId: 'sidecar-1', bootId: BOOT_ID }, () => undefined)
  const signed = evidence.sign(body, tenants, keys, NOW_NS).body
  const verify = (exported: Uint8Array): Cost => {
    const verifier = new Verifier({ keys: lookup(key), expected: 'all' })
    verifier.add(exported)
    return { work: verifier.work.bytes, size: exported.length }
  }
  return {
    redaction: { work: redactor.editor.work.bytes, size: body.length },
    edits: { work: redactor.editor.edits.bytesHeld, size: body.length },
    signing: { work: spans.work.bytes, size: body.length },
    replayed: verify(signed),
    // The signed request several times one after the other.
    repeated: verify(Buffer.concat(new Array(4).fill(signed))),
  }
}

/** What each further byte costs, so that what is there once does not count. */
const rate = (from: Cost, to: Cost): number => (to.work - from.work) / Math.max(1, to.size - from.size)

function expectLinear(costs: readonly [Costs, Costs, Costs], what: keyof Costs): void {
  const [small, twice, large] = costs
  expect(rate(twice[what], large[what]), what).toBeLessThan(rate(small[what], twice[what]) * GROWTH_MAX + 0.5)
}

test('whatever a request is made of, its cost grows no faster than it does', { timeout: 60_000 }, () => {
  fc.assert(
    fc.property(plan, (parts) => {
      const costs = [1, 2, 4].map((times) => costsOf(build(parts, SIZE * times), parts.tenantCount)) as [
        ReturnType<typeof costsOf>,
        ReturnType<typeof costsOf>,
        ReturnType<typeof costsOf>,
      ]
      for (const what of ['redaction', 'signing', 'replayed', 'repeated'] as const) expectLinear(costs, what)
      // Tables double, so their memory goes in steps.
      const [least, , most] = costs.map(({ edits }) => edits.work / edits.size)
      expect(most, 'edits').toBeLessThan(least! * GROWTH_MAX + 0.5)
    }),
    { seed, numRuns: RUNS },
  )
})

test('a product is seen where there is one: a sealed value is bound to its whole path', () => {
  const body = (n: number): Uint8Array =>
    bytesOf((out) =>
      inside(out, 1, () =>
        inside(out, 1, () =>
          list(out, 1, 'k'.repeat(n * 10), 6, () =>
            times(n, (i) => attribute(out, 1, `c${i}`, 'a@b.example')),
          ),
        ),
      ),
    )
  const costs = [costsOf(body(SIZE)), costsOf(body(SIZE * 2)), costsOf(body(SIZE * 4))] as const
  expect(() => expectLinear(costs, 'redaction')).toThrow()
})
