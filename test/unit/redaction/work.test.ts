// What redaction looks at, edits and holds, against the size of a request; and that slices change nothing.
import { createHash } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EDIT_MEMORY, REDACTION_WORK } from '../../../src/base/limits.ts'
import { REDACTION_DEFAULTS } from '../../../src/redaction/options.ts'
import { type RedactResult, redact, redactInSlices } from '../../../src/redaction/redact.ts'
import { Redactor } from '../../../src/redaction/redactor.ts'
import { compileRules, type RuleSet } from '../../../src/redaction/rules.ts'
import type { Signal } from '../../../src/wire/otlp.ts'
import { scan } from '../../../src/wire/scan.ts'
import { request } from '../wire/arbitrary.ts'
import { encode } from '../wire/oracle.ts'
import { attribute, bytesOf, inside, SHAPES, type Shape, times } from '../wire/shapes.ts'
import { SteadySealer, testTenant } from './test-keys.ts'

const seed = Number(process.env.FC_SEED ?? 20_261_202)
console.info(`redaction work: FC_SEED=${seed}`)
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const GROUPS_MAX = 16_384
const rules = compileRules(REDACTION_DEFAULTS)
const tenant = { ...testTenant(), sealer: new SteadySealer('acme', 'first') }
const tenants = new Array(GROUPS_MAX).fill(tenant)

interface Cost {
  readonly work: number
  readonly editBytes: number
}

function costOf(body: Uint8Array, signal: Signal, ruleSet: RuleSet = rules): Cost {
  const redactor = new Redactor(ruleSet)
  redactor.begin(body, signal, tenants)
  scan(body, signal, redactor, redactor.editor.edits)
  return { work: redactor.editor.work.bytes, editBytes: redactor.editor.edits.bytesHeld }
}

const logs = (write: (out: Parameters<Parameters<typeof bytesOf>[0]>[0]) => void): Uint8Array =>
  bytesOf((out) => inside(out, 1, () => inside(out, 2, () => inside(out, 2, () => write(out)))))

const LOG_SHAPES: Readonly<Record<string, Shape>> = {
  'one match after the other in a body': (n) =>
    logs((out) => inside(out, 5, () => out.string(1, 'token=x '.repeat(n * 5)))),
  'one match over the other': (n) =>
    logs((out) => inside(out, 5, () => out.string(1, 'a@b.example'.repeat(n * 5)))),
  'many keys under one key under one key': (n) =>
    logs((out) =>
      inside(out, 5, () =>
        inside(out, 6, () =>
          inside(out, 1, () => {
            out.string(1, 'o'.repeat(n))
            inside(out, 2, () =>
              inside(out, 6, () =>
                inside(out, 1, () => {
                  out.string(1, 'i'.repeat(n))
                  inside(out, 2, () =>
                    inside(out, 6, () => times(n, (i) => attribute(out, 1, `k${i}`, 'plain'))),
                  )
                }),
              ),
            )
          }),
        ),
      ),
    ),
}

describe.each([
  ...Object.entries(SHAPES).map(([name, shape]) => ['traces', name, shape] as const),
  ...Object.entries(LOG_SHAPES).map(([name, shape]) => ['logs', name, shape] as const),
])('%s: %s', (signal, name, shape) => {
  test('twice as much where the request is twice as large', () => {
    // Each sealed value is bound to its whole path; there the bound on work does what the form cannot.
    if (name === 'a long key over a kvlist') {
      expect(() => costOf(shape(40_000), signal)).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }))
      return
    }
    const [small, large] = [shape(1000), shape(2000)].map((body) => {
      const { work, editBytes } = costOf(body, signal)
      return { work: work / body.length, editBytes: editBytes / body.length }
    }) as [Cost, Cost]
    expect(large.work, 'bytes looked at for each byte').toBeLessThan(small.work * 1.3 + 0.1)
    expect(large.editBytes, 'memory of edits for each byte').toBeLessThan(small.editBytes * 1.3 + 0.1)
    expect(large.work).toBeLessThan(REDACTION_WORK.perByte)
  })

  test('in slices it becomes what it becomes in one go', () => {
    const body = shape(600)
    expect(shown(inSlices(body, signal))).toEqual(shown(redact(body, signal, rules, tenants)))
  })
})

/** Bytes as a hash: comparing a million one by one takes long. */
function shown({ body, ...rest }: RedactResult): unknown {
  return { ...rest, body: createHash('sha256').update(body).digest('hex') }
}

function inSlices(body: Uint8Array, signal: Signal, onSlice: () => void = () => undefined): RedactResult {
  const slices = redactInSlices(body, signal, rules, tenants)
  for (;;) {
    const { done, value } = slices.next()
    if (done) return value
    onSlice()
  }
}

test('two large requests whose slices alternate become what each becomes alone', () => {
  const bodies = [SHAPES['a long key over a kvlist']!(600), SHAPES['events and links with attributes']!(900)]
  const expected = bodies.map((body) => shown(redact(body, 'traces', rules, tenants)))
  const works = bodies.map((body) => redactInSlices(body, 'traces', rules, tenants))
  const results: unknown[] = [undefined, undefined]
  while (results.includes(undefined)) {
    for (const [i, work] of works.entries()) {
      const { done, value } = work.next()
      if (done && value) results[i] = shown(value)
    }
  }
  expect(results).toEqual(expected)
})

test.each(['traces', 'logs', 'metrics'] as const)('%s: any request in slices', (signal) => {
  fc.assert(
    fc.property(request[signal], (message) => {
      const body = encode(signal, message)
      const many = new Uint8Array(Math.min(40, Math.ceil(100_000 / Math.max(1, body.length))) * body.length)
      for (let at = 0; at < many.length; at += body.length) many.set(body, at)
      expect(shown(inSlices(many, signal))).toEqual(shown(redact(many, signal, rules, tenants)))
    }),
    { seed, numRuns: 20 },
  )
})

describe('more changes than a request of its size may have', () => {
  const SIZE = 8 * 1024 * 1024

  test.each([
    ['sealed', 'token=x '],
    ['sealed, an address each', 'a@b.de '],
  ])('%s: it is refused for good, and held no more than its bound', async (_name, text) => {
    // Values of a size that is searched.
    const value = text.repeat(Math.floor(200_000 / text.length))
    const body = logs((out) => times(Math.ceil(SIZE / value.length), () => attribute(out, 6, 'note', value)))
    // Tables of detectors are made with the first value that asks for them, and stay.
    expect(() => inSlices(body, 'logs')).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }))
    const before = await settled()
    let peak = 0
    let slices = 0
    const measure = (): void => {
      if (slices++ % 4 === 0) peak = Math.max(peak, held() - before)
    }
    expect(() => inSlices(body, 'logs', measure)).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }))
    expect(peak).toBeGreaterThan(body.length)
    // Beside the changes: the matches of one value, and code that is compiled meanwhile.
    expect(peak).toBeLessThan(2 * body.length + EDIT_MEMORY.base + 4 * 1024 * 1024)
  })
})

/** The same once nothing more goes: buffers of the test before are given back beside the collector, and later. */
async function settled(): Promise<number> {
  for (let before = held(); ; ) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    const now = held()
    if (now >= before) return now
    before = now
  }
}

/** What is in use, without what the collector has not come to yet. */
function held(): number {
  collect()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}
