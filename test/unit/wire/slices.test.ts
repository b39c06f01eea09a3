// What reads or mends a large request in slices makes of it what it makes in one go, wherever it stops in between.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Edits } from '../../../src/wire/edits.ts'
import { FieldWalk } from '../../../src/wire/field-walk.ts'
import { jsonToSoundItems, jsonToSoundItemsInSlices, protobufToJson } from '../../../src/wire/json.ts'
import type { Signal } from '../../../src/wire/otlp.ts'
import { request } from './arbitrary.ts'
import { encode } from './oracle.ts'

const seed = Number(process.env.FC_SEED ?? Date.now() % 1_000_000)
console.info(`slices: FC_SEED=${seed}`)
const signals: Signal[] = ['traces', 'logs', 'metrics']

/** The result, or what is said against the input; and after how many slices. */
function outcome<Result>(work: Generator<void, Result>): { result: unknown; slices: number } {
  for (let slices = 1; ; slices++) {
    try {
      const { done, value } = work.next()
      if (done) return { result: value, slices }
    } catch (error) {
      return { result: String(error), slices }
    }
  }
}

function whole(body: Uint8Array, signal: Signal): unknown {
  try {
    return jsonToSoundItems(body, signal)
  } catch (error) {
    return String(error)
  }
}

/** JSON that is whole, with unknown members and items that are none; or with one byte that is another. */
const damaged = (json: string, at: number, byte: number): Uint8Array => {
  const text = json
    .replaceAll(
      '"spans":[',
      '"x":"\\u0041","spans":[{"name":5,"x":[[],{"y":[0,10,-1.5e3,"\\u0041",true,null]}]},{"k":[[]]},',
    )
    .replaceAll('"logRecords":[', '"logRecords":[{"attributes":[{"key":"\\ud800"}],"traceId":"abc"},')
  const bytes = Buffer.from(text)
  if (bytes.length > 0 && byte < 256) bytes[at % bytes.length] = byte
  return bytes
}

test.each(signals)('json of %s, cut anywhere', (signal) => {
  fc.assert(
    fc.property(
      request[signal],
      fc.nat(),
      fc.nat(700),
      fc.integer({ min: 1, max: 60 }),
      (message, at, byte, size) => {
        const body = damaged(protobufToJson(encode(signal, message), signal), at, byte)
        const cut = outcome(jsonToSoundItemsInSlices(body, signal, size))
        expect(cut.result).toEqual(whole(body, signal))
      },
    ),
    { seed, numRuns: 150 },
  )
})

test('an item that is left out is skipped in slices too', () => {
  const item = `{"kind":"x","y":[${'0,'.repeat(50_000)}{"y":"${'z'.repeat(100)}"}]}`
  const body = Buffer.from(`{"resourceSpans":[{"scopeSpans":[{"spans":[${item}]}]}]}`)
  const { result, slices } = outcome(jsonToSoundItemsInSlices(body, 'traces', 1_000))
  expect(slices).toBeGreaterThan(90)
  expect(result).toMatchObject({ faults: { rejectedItems: 1 } })
})

test.each(signals)('fields of %s, cut anywhere', (signal) => {
  fc.assert(
    fc.property(request[signal], fc.integer({ min: 1, max: 60 }), (message, size) => {
      const body = encode(signal, message)
      const told = [size, Number.POSITIVE_INFINITY].map((sliceBytes) => {
        const lines: string[] = []
        const walk: FieldWalk = new FieldWalk(body, new Edits(), {
          enter: (name) => lines.push(`enter ${name} ${walk.where}`),
          leave: (name, start, end) => lines.push(`leave ${name} ${start} ${end} ${walk.where}`),
          text: (start, end) => lines.push(`text ${start} ${end} ${walk.where}`),
          id: (length, start, end) => lines.push(`id ${length} ${start} ${end} ${walk.where}`),
          unknown: (wireType, start) => lines.push(`unknown ${wireType} ${start} ${walk.where}`),
        })
        outcome(walk.runInSlices(signal, sliceBytes))
        return lines
      })
      expect(told[0]).toEqual(told[1])
    }),
    { seed, numRuns: 100 },
  )
})
