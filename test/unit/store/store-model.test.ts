// The store against a model that is a sorted array. Each run is a list of random steps; after each step the store must
// answer as the model does, and after closing and opening again too. Only the bytes in use are compared where they are
// at rest: removals are free to be late.
import { rmSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { entryBytes } from '../../../src/store/entry.ts'
import type { Store } from '../../../src/store/store.ts'
import { entryOf, openStore, testFolder } from './folder.ts'
import { record } from './record.ts'
import { statementsIn } from './statements.ts'

const CONSUMERS = ['a', 'b'] as const
const SIZES = [0, 1, 500, 3_000, 5_000, 120_000]

type Step =
  | { do: 'append'; sizes: readonly number[] }
  | { do: 'next' | 'ack'; consumer: 'a' | 'b'; pick: number }
  | { do: 'reopen' }

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('append' as const),
        sizes: fc.array(fc.constantFrom(...SIZES), { minLength: 1, maxLength: 5 }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('next' as const),
        consumer: fc.constantFrom(...CONSUMERS),
        pick: fc.nat(4),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('ack' as const),
        consumer: fc.constantFrom(...CONSUMERS),
        pick: fc.nat(9),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen' as const) }) },
  ),
  { minLength: 5, maxLength: 40 },
)

class Model {
  readonly entries: { sequence: number; size: number; taken: Set<string> }[] = []
  readonly out = new Map<string, number[]>(CONSUMERS.map((name) => [name, []]))
  readonly after = new Map<string, number>(CONSUMERS.map((name) => [name, 0]))
  statements = 0
  sequence = 0

  live() {
    return this.entries.filter((entry) => entry.taken.size < CONSUMERS.length)
  }
}

async function apply(store: Store, model: Model, step: Exclude<Step, { do: 'reopen' }>): Promise<void> {
  if (step.do === 'append') {
    const appended = step.sizes.map(
      (size, index) =>
        store.append(entryOf(size, 'traces', (model.sequence + index + 1) % 251), [
          record(`s${model.statements++}`),
        ]).durable,
    )
    for (const [index, sequence] of (await Promise.all(appended)).entries()) {
      expect(sequence).toBe(++model.sequence)
      model.entries.push({ sequence, size: step.sizes[index], taken: new Set() })
    }
    return
  }
  const out = model.out.get(step.consumer) ?? []
  if (step.do === 'next') {
    const after = model.after.get(step.consumer) ?? 0
    const expected = model
      .live()
      .filter((entry) => entry.sequence > after && !entry.taken.has(step.consumer))
      .slice(0, step.pick)
    const found = store.next(`traces:${step.consumer}`, after, step.pick)
    expect(found.map(({ sequence, body }) => [sequence, body.length, body[0]])).toEqual(
      expected.map(({ sequence, size }) => [sequence, size, size === 0 ? undefined : sequence % 251]),
    )
    out.push(...expected.map(({ sequence }) => sequence))
    model.after.set(step.consumer, expected.at(-1)?.sequence ?? after)
    return
  }
  const [sequence] = out.splice(step.pick % Math.max(1, out.length), 1)
  if (sequence === undefined) return
  store.ack(`traces:${step.consumer}`, sequence)
  model.entries.find((entry) => entry.sequence === sequence)?.taken.add(step.consumer)
}

function compare(store: Store, model: Model): void {
  expect(store.queuedItems).toBe(3 * model.live().length)
}

test('answers as the model does, whatever is asked and however often it is opened', async () => {
  const folder = testFolder()
  await fc.assert(
    fc.asyncProperty(steps, fc.constantFrom(0, 10_000, 8_000_000), async (run, readCacheBytesMax) => {
      rmSync(folder, { recursive: true, force: true })
      const model = new Model()
      let store = await openStore(folder, CONSUMERS, { readCacheBytesMax })
      for (const step of [...run, { do: 'reopen' as const }]) {
        if (step.do === 'reopen') {
          await store.close()
          store = await openStore(folder, CONSUMERS, { readCacheBytesMax })
          for (const name of CONSUMERS) {
            model.out.set(name, [])
            model.after.set(name, 0)
          }
          expect(store.queueBytesUsed).toBe(
            model.live().reduce((sum, { size }) => sum + entryBytes(size, 1), 0),
          )
          expect(statementsIn(folder)).toHaveLength(model.statements)
        } else await apply(store, model, step)
        compare(store, model)
      }
      await store.close()
    }),
    { numRuns: 30 },
  )
}, 60_000)
