// Large requests of ordinary spans through a whole sidecar that has the memory of a small container, with the file
// exporter. Twenty MiB ended the process once, after they were stored, and every start after that.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeTraces } from '../../bench/payload.ts'
import { spanKeys } from '../../bench/wire-walk.ts'
import { accountsOf, imbalance } from '../interop/metrics.ts'
import { until } from '../interop/service-process.ts'
import { betrace, Sidecar } from '../interop/sidecar.ts'
import { memoryCgroup } from '../unit/exporters/memory-cgroup.ts'

const MIB = 1024 * 1024
const CONTAINER_MIB = 768
const REQUEST_MIB = 20
/** With the 19 that each span has: 120. */
const ATTRIBUTES_MORE = 101
const DRAIN_MS_MAX = 60_000

const group = memoryCgroup(CONTAINER_MIB)
const acknowledged = new Set<string>()
let sidecar: Sidecar

beforeAll(async () => {
  if (!group) return
  sidecar = await Sidecar.start({
    exporters: (directory) => ({ 'file/out': { path: join(directory, 'out/traces.jsonl') } }),
    processors: { pii: {}, signing: { select: 'all' } },
    cgroup: group.procs,
  })
})
afterAll(async () => {
  await sidecar?.remove()
  group?.remove()
})

function makeRequest(seed: number): Uint8Array {
  const sample = makeTraces({ spans: 64, seed, attributesMore: ATTRIBUTES_MORE })
  const spans = Math.ceil((REQUEST_MIB * MIB * 64) / sample.length) + 1
  return makeTraces({ spans, seed, attributesMore: ATTRIBUTES_MORE })
}

/** As clients do: what is refused for now comes again. */
async function sendUntilTaken(body: Uint8Array): Promise<void> {
  await until('it is taken', async () => (await send(body)) === 200, DRAIN_MS_MAX)
}

/** Resolves with the status, or `undefined` when the process ended before it answered. */
async function send(body: Uint8Array): Promise<number | undefined> {
  try {
    const answer = await fetch(`${sidecar.httpEndpoint}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body: body as NonNullable<RequestInit['body']>, // Node's Buffer is a body, whatever the DOM types think of its memory
    })
    const said = Buffer.from(await answer.arrayBuffer()).toString('latin1')
    if (answer.status !== 200) console.info(`answered ${answer.status}: ${said}`)
    else {
      for (const key of spanKeys(body)) acknowledged.add(key)
      expect(said).toBe('') // an empty message: all was taken
    }
    return answer.status
  } catch (error) {
    if (error instanceof TypeError) return undefined // what `fetch` says of a connection that broke
    throw error
  }
}

const outputs = (): string[] => {
  const folder = join(sidecar.directory, 'out')
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []
}
const outputBytes = (): number => outputs().reduce((sum, file) => sum + statSync(file).size, 0)

function exportedKeys(): Set<string> {
  const ids = /"traceId":"([0-9a-f]{32})","spanId":"([0-9a-f]{16})"/g
  return new Set(
    outputs().flatMap((file) =>
      [...readFileSync(file, 'latin1').matchAll(ids)].map(([, a, b]) => `${a}-${b}`),
    ),
  )
}

async function expectAllWell(): Promise<void> {
  await until('an empty queue', async () => accountsOf(await sidecar.metrics()).queued === 0, DRAIN_MS_MAX)
  const metrics = await sidecar.metrics()
  const accounts = accountsOf(metrics)
  expect(imbalance(accounts), JSON.stringify(accounts)).toBe(0)
  expect(accounts).toMatchObject({ dropped: 0, rejected: 0, inFlight: 0 })
  expect(metrics.sum('betrace_exporter_set_aside_items_total')).toBe(0)
  const exported = exportedKeys()
  expect([...acknowledged].filter((key) => !exported.has(key))).toEqual([])
  expect(sidecar.process.isRunning).toBe(true)
  expect(group!.killedCount()).toBe(0)
}

describe.skipIf(!group)(`${REQUEST_MIB} MiB of spans with 120 attributes, in ${CONTAINER_MIB} MiB`, () => {
  test('are accepted and exported, one request after the other, by the same process', async () => {
    const { pid } = sidecar.process
    for (const seed of [1, 2, 3]) await sendUntilTaken(makeRequest(seed))
    await expectAllWell()
    expect(sidecar.process.pid).toBe(pid)
    console.info(
      `${acknowledged.size} spans, at most ${Math.round(group!.peakBytes() / MIB)} MiB with the page cache`,
    )
  })

  test.each(['is worked on', 'was answered', 'is written'])(
    'a process that is killed while such a request %s starts again, and exports what it said OK to',
    async (moment) => {
      const before = outputBytes()
      const body = makeRequest(10 + moment.length)
      let answer: Promise<number | undefined> | undefined
      if (moment === 'is worked on') {
        answer = send(body)
        await until('it is in flight', async () => accountsOf(await sidecar.metrics()).inFlight > 0)
      } else await sendUntilTaken(body)
      if (moment === 'is written') await until('a part is written', () => outputBytes() > before + MIB)
      await sidecar.process.kill()
      await answer
      await sidecar.restart()
      await expectAllWell()
    },
  )

  test('every span that was exported is signed, and verifies', async () => {
    const verdict = await betrace(
      'verify',
      '--expect',
      'all',
      '--trust',
      await sidecar.exportKeys(),
      ...outputs(),
    )
    expect(verdict.code, verdict.stdout.slice(-2000) + verdict.stderr.slice(-2000)).toBe(0)
  })
})
