// Large requests are signed in slices. However requests of both kinds overlap, their statements reach the store in the
// order of their numbers, and each entry's own statement with it.
import { generateKeyPairSync } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import type { StatementRecord } from '../../../src/evidence/chain.ts'
import { isTipRecord } from '../../../src/evidence/chain.ts'
import { decodeSignedStatement, decodeStatement, Kind } from '../../../src/evidence/statement.ts'
import { makePipeline, spanRequest } from './pipeline-fixture.ts'

const SIGNED = { 'compliance.evidence': 'true' }
const small = spanRequest(SIGNED, 'acme', 1)
const large = spanRequest({ ...SIGNED, note: 'x'.repeat(400) }, 'acme', 4_000)

const numbers = (records: readonly StatementRecord[]): number[] =>
  records
    .filter((record) => !isTipRecord(record))
    .map((record) => decodeStatement(decodeSignedStatement(record.value).statement).number)

test('large and small requests at once: statements are stored in order', { timeout: 60_000 }, async () => {
  const { answer, delivered, processors } = makePipeline({ hasKeys: true })
  let heldCount = 0
  const answers: Promise<string>[] = []
  for (let round = 0; round < 4; round++) {
    answers.push(answer(large))
    for (let turn = 0; turn < 60; turn++) {
      await nextTurn()
      if (processors.evidence?.order.busy) heldCount++
      answers.push(answer(small))
    }
  }
  const outcomes = new Set(await Promise.all(answers))
  expect([...outcomes].toSorted()).toEqual(['OK 1 0', 'OK 4000 0'])
  expect(heldCount, 'small ones came while a large one was signed').toBeGreaterThan(0)
  const stored = delivered.flatMap(({ statements }) => numbers(statements))
  expect(stored).toEqual(stored.map((_, index) => index))
  expect(stored).toHaveLength(1 + answers.length)
})

test('a large request that the store does not take leaves the order free, and its statement is handed out again', async () => {
  let isFailing = true
  const stored: StatementRecord[] = []
  const { answer, processors } = makePipeline({
    hasKeys: true,
    deliver: async (_, statements) => {
      if (isFailing) {
        processors.evidence?.failed(statements)
        throw new SidecarError('STORE_FAILED', 'disk')
      }
      stored.push(...statements)
      return undefined
    },
  })
  expect(await answer(large)).toBe('STORE_FAILED')
  isFailing = false
  expect(await answer(small)).toBe('OK 1 0')
  expect(processors.evidence?.order.busy).toBeUndefined()
  expect(numbers(stored)).toEqual([0, 1, 2, 3])
})

test('left before its end, a signature in slices counts as one that was not stored', () => {
  const { processors } = makePipeline({ hasKeys: true })
  const evidence = processors.evidence!
  const { privateKey } = generateKeyPairSync('ed25519')
  const keys = new Map([['acme', { keyId: 'k', privateKey }]])
  const finding = evidence.find(large, ['acme'])
  let found = finding.next()
  while (!found.done) found = finding.next()
  const signing = evidence.signFound(found.value, large, keys, 1n)
  expect(signing.next().done).toBe(false)
  signing.return({} as never)
  expect(evidence.pendingCount).toBeGreaterThan(0)
  const { statements } = evidence.flush(keys, 2n)
  const kinds = statements
    .filter((record) => !isTipRecord(record))
    .map((record) => decodeStatement(decodeSignedStatement(record.value).statement).kind)
  expect(kinds).toEqual([Kind.BOOT, Kind.BATCH, Kind.TOMBSTONE])
})
