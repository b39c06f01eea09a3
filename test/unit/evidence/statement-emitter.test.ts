// Statements that no request brings along, over a store that is a map.
import { expect, onTestFinished, test } from 'vitest'
import type { Clock } from '../../../src/base/clock.ts'
import { TENANT_IDLE_MS } from '../../../src/base/limits.ts'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { isTipRecord, tipKey } from '../../../src/evidence/chain.ts'
import { Evidence, type SigningKey, type StatementRecord } from '../../../src/evidence/evidence.ts'
import { decodeSignedStatement, decodeStatement, Kind } from '../../../src/evidence/statement.ts'
import { StatementEmitter } from '../../../src/evidence/statement-emitter.ts'
import { BOOT_ID, compliant, encode, request, span, testKey } from './otlp.ts'

const MS = 1_000_000n
const key = testKey('k1')
const oneSpan = encode(request([span(0, [compliant])]))

function make(append: (records: readonly StatementRecord[]) => Promise<unknown>, loaded: string[] = []) {
  let nowNs = 1_700_000_000_000_000_000n
  const clock: Clock = { nowMs: () => Number(nowNs / MS), nowNs: () => nowNs, monotonicMs: () => 0 }
  const store = new Map<string, Uint8Array>()
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  const evidence = new Evidence({ instanceId: 'i', bootId: BOOT_ID }, (tenant) =>
    store.get(hex(tipKey(tenant))),
  )
  const keep = (records: readonly StatementRecord[]): void => {
    for (const record of records) store.set(hex(record.key), record.value)
  }
  const emitter = new StatementEmitter({
    evidence,
    keys: {
      signingKey: () => undefined,
      loadSigningKey: async (tenant) => {
        loaded.push(tenant)
        return key
      },
    },
    append: async (records) => {
      await append(records)
      keep(records)
    },
    clock,
    log: silentTelemetry().log,
  })
  onTestFinished(() => emitter.shutdown())
  const sign = (tenant: string): void =>
    keep(evidence.sign(oneSpan, [tenant], new Map<string, SigningKey>([[tenant, key]]), nowNs).statements)
  const pass = (ms: number): void => {
    nowNs += BigInt(ms) * MS
  }
  return { evidence, emitter, sign, pass, nowNs: () => nowNs }
}

const kindOf = (record: StatementRecord): number =>
  decodeStatement(decodeSignedStatement(record.value).statement).kind

test('streams without a span for ten minutes end with a SHUTDOWN, and are forgotten when it is stored', async () => {
  const appended: StatementRecord[] = []
  const { evidence, emitter, sign, pass } = make(async (records) => appended.push(...records))
  sign('acme')
  pass(TENANT_IDLE_MS)
  sign('busy')
  await emitter.endIdle()
  expect([appended.length, evidence.tenants]).toEqual([0, ['acme', 'busy']])
  pass(1)
  await emitter.endIdle()
  expect(evidence.tenants).toEqual(['busy'])
  expect(appended.filter((record) => !isTipRecord(record)).map(kindOf)).toEqual([Kind.SHUTDOWN])
})

test('a stream whose end is not stored stays, and so does one of which another end is under way', async () => {
  let isFailing = true
  let appendCount = 0
  const { evidence, emitter, sign, pass } = make(async () => {
    appendCount++
    await new Promise((resolve) => setTimeout(resolve, 5))
    if (isFailing) throw new Error('disk is full')
  })
  sign('acme')
  pass(TENANT_IDLE_MS + 1)
  await Promise.all([emitter.endIdle(), emitter.endIdle()])
  expect([appendCount, evidence.tenants, evidence.pendingCount]).toEqual([1, ['acme'], 1])
  isFailing = false
})

test('after the last word nothing ends once more', async () => {
  const appended: StatementRecord[] = []
  const { emitter, sign, pass } = make(async (records) => appended.push(...records))
  sign('acme')
  pass(TENANT_IDLE_MS + 1)
  await emitter.shutdown()
  await emitter.endIdle()
  expect(appended.filter((record) => !isTipRecord(record)).map(kindOf)).toEqual([Kind.SHUTDOWN])
})

test('many idle streams end in one commit, each with its own key', async () => {
  const loaded: string[] = []
  const { evidence, emitter, sign, pass } = make(async () => undefined, loaded)
  for (let at = 0; at < 50; at++) sign(`t${at}`)
  pass(TENANT_IDLE_MS + 1)
  await emitter.endIdle()
  expect([loaded.length, evidence.tenants.length]).toEqual([50, 0])
})
