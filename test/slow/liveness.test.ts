// While the worst bodies are worked on, a probe that asks whether the process lives has its
// answer within a second. The probe is a process of its own, and so is the sidecar.
//
// BETRACE_LIVENESS_BODY runs the bodies whose name holds it, and nothing else.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../interop/service-process.ts'
import { Sidecar } from '../interop/sidecar.ts'
import { WORST_BODIES, type WorstBody } from './liveness-bodies.ts'

const ANSWER_MS_MAX = 1_000
const ONLY = process.env.BETRACE_LIVENESS_BODY ?? ''
const names = Object.keys(WORST_BODIES).filter((name) => name.includes(ONLY))

let sidecar: Sidecar
let probe: Probe

/** What the probing process has printed. */
class Probe {
  readonly #child: ChildProcess
  readonly #answers: { askedMs: number; tookMs: number }[] = []
  #rest = ''

  constructor(url: string) {
    const script = fileURLToPath(new URL('liveness-probe.js', import.meta.url))
    this.#child = spawn(process.execPath, [script, url], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n')
      this.#rest = lines.pop()!
      for (const line of lines) {
        const [askedMs, tookMs] = line.split(' ').map(Number) as [number, number]
        this.#answers.push({ askedMs, tookMs: tookMs < 0 ? Number.POSITIVE_INFINITY : tookMs })
      }
    })
  }

  /** The slowest answer to a question asked since then, and how many there were. */
  async since(askedMs: number): Promise<{ count: number; slowestMs: number }> {
    const untilMs = Date.now()
    await until(
      'an answer to the last question',
      () => (this.#answers.at(-1)?.askedMs ?? 0) > untilMs,
      60_000,
    )
    const answers = this.#answers.filter((each) => each.askedMs >= askedMs)
    return { count: answers.length, slowestMs: Math.max(...answers.map(({ tookMs }) => tookMs)) }
  }

  async close(): Promise<void> {
    const closed = once(this.#child, 'close')
    this.#child.stdin!.end()
    await closed
  }
}

beforeAll(async () => {
  sidecar = await Sidecar.start({
    exporters: (directory) => ({ file: { path: join(directory, 'out.jsonl') } }),
    processors: { pii: {}, signing: {} },
    limits: { wait_max: '120s' },
  })
  probe = new Probe(`http://127.0.0.1:${sidecar.ports.admin}/q/health/live`)
})
afterAll(async () => {
  await probe?.close()
  await sidecar?.remove()
})

async function post(body: Uint8Array, { type }: WorstBody): Promise<number> {
  const answer = await fetch(`${sidecar.httpEndpoint}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': type },
    body,
    signal: AbortSignal.timeout(300_000),
  })
  await answer.arrayBuffer()
  return answer.status
}

async function expectAlive(name: string, load: () => Promise<readonly number[]>): Promise<void> {
  await sleep(300)
  const startMs = Date.now()
  const statuses = await load()
  const loadMs = Date.now() - startMs
  const { count, slowestMs } = await probe.since(startMs)
  console.log(`${name}: ${statuses.join(' ')} in ${loadMs} ms; slowest of ${count} answers ${slowestMs} ms`)
  expect(statuses.every((status) => [200, 400, 413, 429, 503].includes(status))).toBe(true)
  expect(slowestMs).toBeLessThan(ANSWER_MS_MAX)
}

/** Bodies in flight have 256 MiB together: four of the largest. */
test.skipIf(ONLY !== '').each(['signed spans', 'long values of names', 'values that are sealed whole'])(
  'four at once: %s',
  { timeout: 120_000 },
  async (name) => {
    const worst = WORST_BODIES[name]!
    const body = worst.make()
    await expectAlive(`four at once: ${name}`, () =>
      Promise.all(Array.from({ length: 4 }, () => post(body, worst))),
    )
  },
)

describe.each(names)('%s', (name) => {
  const worst = WORST_BODIES[name]!

  test('alone', async () => {
    const body = worst.make()
    await expectAlive(name, async () => [await post(body, worst)])
  })
})
