// kill -9 at random moments under load, many times over the same data folder. Whatever was acknowledged before any of
// the kills has to be at the next hop in the end, and every span that got there has to carry a signature that verifies.
//
// BETRACE_KILL_ROUNDS and BETRACE_KILL_SEED override the number of rounds and repeat a failing run.
import { appendFileSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Sink, startSink } from '../../bench/sink.ts'
import { SpanLedger, UniqueLoad } from '../../bench/unique-load.ts'
import { accountsOf, imbalance } from '../interop/metrics.ts'
import { until } from '../interop/service-process.ts'
import { betrace, Sidecar } from '../interop/sidecar.ts'

const ROUNDS = Number(process.env.BETRACE_KILL_ROUNDS ?? 50)
const SEED = Number(process.env.BETRACE_KILL_SEED ?? (Date.now() % 1_000_000) + 1)
const LIVE_MS_MAX = 500
const SPANS_PER_SECOND = 4_000

const random = generator(SEED)
const ledger = new SpanLedger()
const folder = mkdtempSync(join(tmpdir(), 'betrace-kill-'))
const received = join(folder, 'received.binpb')
let isRefusing = false
let sink: Sink
let sidecar: Sidecar

beforeAll(async () => {
  console.log(`${ROUNDS} rounds, BETRACE_KILL_SEED=${SEED}`)
  // Export requests one after the other are one valid request, so the file is what `verify` reads.
  sink = await startSink({
    onBody: (body) => {
      if (isRefusing) throw new Error('the next hop is down in this round')
      appendFileSync(received, body)
      ledger.arrive(body)
    },
  })
  sidecar = await Sidecar.start({
    exporters: () => ({
      'otlp_grpc/next': {
        endpoint: `127.0.0.1:${sink.port}`,
        tls: { insecure: true },
        retry_on_failure: { initial_interval: '50ms', max_interval: '200ms' },
      },
    }),
    processors: { pii: {}, signing: { select: 'all' } },
  })
})
afterAll(async () => {
  await sidecar?.remove()
  await sink?.close()
  rmSync(folder, { recursive: true, force: true })
})

test(`after ${ROUNDS} kills every acknowledged span has been exported`, async () => {
  let roundsWithAcks = 0
  for (let round = 1; round <= ROUNDS; round++) {
    // In a third of the rounds the queue cannot drain, so the kill finds it full of what only the disk knows.
    isRefusing = random() < 1 / 3
    const acknowledgedBefore = ledger.acknowledged.size
    const load = new UniqueLoad(
      { port: sidecar.ports.grpc, spans: 16, inFlight: 8, spansPerSecond: SPANS_PER_SECOND, prefix: round },
      ledger,
    )
    await load.start()
    // A new process takes a while to answer at all. Some kills come in that while, most after the first answer.
    if (random() < 0.8) await until('a first answer', () => ledger.acknowledged.size > acknowledgedBefore)
    await sleep(random() * LIVE_MS_MAX)
    await sidecar.process.kill()
    await load.stop()
    if (ledger.acknowledged.size > acknowledgedBefore) roundsWithAcks++
    await sidecar.restart()
  }
  isRefusing = false
  await until('every acknowledged span at the next hop', () => ledger.lost === 0, 30_000).catch(
    () => undefined,
  )

  const { acknowledged, arrived, lost, repeated } = ledger
  console.log(
    `${acknowledged.size} spans acknowledged in ${roundsWithAcks} of ${ROUNDS} rounds, ${arrived.size} arrived, ` +
      `${repeated} of them more than once, ${lost} lost`,
  )
  expect({ lost, seed: SEED }).toEqual({ lost: 0, seed: SEED })
  // Rounds killed before their first answer prove nothing; most must have had one.
  expect(roundsWithAcks).toBeGreaterThan(ROUNDS / 2)
})

test('what is left after the last restart balances, with nothing queued or dropped', async () => {
  await until('an empty queue', async () => accountsOf(await sidecar.metrics()).queued === 0)
  const accounts = accountsOf(await sidecar.metrics())
  expect(imbalance(accounts), JSON.stringify(accounts)).toBe(0)
  expect(accounts).toMatchObject({ dropped: 0, rejected: 0 })
  // A kill from outside is no entry's fault: none of the processes set one aside.
  expect(statSync(join(sidecar.dataDirectory, 'dead-letter.jsonl')).size).toBe(0)
})

test('every span that arrived is signed, and verifies with the keys of the last process', async () => {
  expect(existsSync(received) && statSync(received).size).toBeGreaterThan(0)
  const verdict = await betrace('verify', '--expect', 'all', '--trust', await sidecar.exportKeys(), received)
  expect(verdict.code, verdict.stdout.slice(-2000) + verdict.stderr.slice(-2000)).toBe(0)
  // A request is one batch and one queue entry: its spans arrive together or not at all.
  expect(verdict.stdout).toMatch(/\d+ batches, all whole/)
})

/** Mulberry32: small, seeded, good enough to choose moments. */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
