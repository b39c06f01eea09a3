// Processes that really die over an entry, and processes that are killed while they do nothing wrong.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { AttemptRecord } from '../../../src/exporters/attempt-record.ts'
import { testFolder } from './folder.ts'

const CHILD = join(import.meta.dirname, 'poison-child.ts')

/** One life. `killAt`: kill -9 from outside as soon as it prints this, or after so many milliseconds. */
function live(
  folder: string,
  texts: readonly string[] = [],
  killAt?: string | number,
): Promise<{ end: number | string | null; out: string[] }> {
  const child = spawn(process.execPath, ['--max-old-space-size=48', CHILD, folder, ...texts], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
    if (typeof killAt === 'string' && out.includes(killAt)) child.kill('SIGKILL')
  })
  const timer = typeof killAt === 'number' ? setTimeout(() => child.kill('SIGKILL'), killAt) : undefined
  return new Promise((resolve) => {
    child.on('close', () => clearTimeout(timer))
    child.on('close', (code, signal) => resolve({ end: code ?? signal, out: out.trim().split('\n') }))
  })
}

const linesOf = (path: string) =>
  existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []
const delivered = (folder: string) => [...new Set(linesOf(join(folder, 'delivered')))].sort()
const setAside = (folder: string) =>
  linesOf(join(folder, 'dead-letter.jsonl')).map((line) => {
    const { reason, body } = JSON.parse(line) as { reason: string; body: string }
    return `${reason}: ${Buffer.from(body, 'base64').toString('latin1').trim()}`
  })

describe('an entry that the process dies over', () => {
  test.each(['kill', 'heap'])(
    'alone, by a %s, is set aside after the second time; the rest goes on',
    async (how) => {
      const folder = testFolder()
      expect((await live(folder, [how])).end).not.toBe(0)
      expect((await live(folder, ['later'])).end).not.toBe(0)
      expect(setAside(folder)).toEqual([])
      expect(await live(folder)).toMatchObject({ end: 0 })
      expect(setAside(folder)).toEqual([`ended_process: ${how}`])
      expect(delivered(folder)).toEqual(['later'])
      // Nothing of it is left for the next life.
      expect((await live(folder, ['after'])).out).toEqual(['sending after', 'started', 'empty'])
    },
    60_000,
  )

  test('in company is found out by being tried alone; no innocent goes with it', async () => {
    const folder = testFolder()
    const innocents = ['a', 'b', 'c']
    let lives = 0
    let last = await live(folder, ['a', 'kill', 'b', 'c'])
    for (; last.end !== 0 && lives < 6; lives++) last = await live(folder)
    expect(last.end).toBe(0)
    expect(lives).toBeLessThanOrEqual(3)
    expect(setAside(folder)).toEqual(['ended_process: kill'])
    expect(delivered(folder)).toEqual(innocents)
  }, 60_000)
})

describe('a process that is killed from outside', () => {
  test('five times while the next hop does not answer sets nothing aside', async () => {
    const folder = testFolder()
    await live(folder, ['wait', 'small wait'], 'waiting small wait')
    for (let round = 0; round < 4; round++) await live(folder, [], 'waiting small wait')
    expect(setAside(folder)).toEqual([])
    expect(readFileSync(join(folder, 'attempts.json'), 'utf8')).toMatch(/"atWork":\[\],"suspects":\[\]/)
  }, 60_000)

  test('over an entry that is slow only once clears it when it is tried alone', async () => {
    const folder = testFolder()
    await live(folder, ['slow'], 'sending slow')
    writeFileSync(join(folder, 'fast'), '')
    expect(await live(folder)).toMatchObject({ end: 0 })
    expect(setAside(folder)).toEqual([])
    expect(delivered(folder)).toEqual(['slow'])
  }, 60_000)

  test('at any moment while it delivers sets nothing aside and loses nothing', async () => {
    const folder = testFolder()
    const seed = Number(process.env.FC_SEED ?? (Date.now() % 1_000_000) + 1)
    console.info(`kills: FC_SEED=${seed}`)
    const texts = Array.from({ length: 40 }, (_, i) => `${i % 3 ? 'small' : 'large'} ${i}`)
    await live(folder, texts, 'sending')
    for (let round = 1; round <= 4; round++) await live(folder, [], 200 + ((seed * round) % 800))
    expect((await live(folder)).end).toBe(0)
    expect(setAside(folder)).toEqual([])
    expect(delivered(folder)).toEqual([...texts].sort())
  }, 60_000)
})

describe('the record', () => {
  const { log } = silentTelemetry()
  const entry = (sequence: number, bytes = 1024 * 1024) => ({
    sequence,
    signal: 'traces' as const,
    itemCount: 1,
    acceptedAtMs: 1_000,
    body: Buffer.alloc(bytes),
    refs: Buffer.of(),
  })
  const open = (path: string) => {
    const record = new AttemptRecord({ path, log, clock: systemClock })
    record.start()
    return record
  }

  test.each([
    ['nothing', ''],
    ['no JSON', '{"isRunning":tr'],
    ['zeros', '\0'.repeat(100)],
    ['something else', '[1,2]'],
    ['names of a wrong kind', '{"isRunning":true,"atWork":[{"consumer":1}],"suspects":[]}'],
  ])('that holds %s accuses nobody', async (_name, content) => {
    const path = join(testFolder(), 'attempts.json')
    writeFileSync(path, content)
    const record = open(path)
    expect(record.isCondemned('c', entry(1))).toBe(false)
    ;(await record.begin('c', entry(1)))()
    record.close()
  })

  test('says nothing of small entries before there was a crash', () => {
    const path = join(testFolder(), 'attempts.json')
    const record = open(path)
    record.begin('c', entry(1, 1_000))
    expect(readFileSync(path, 'utf8')).not.toContain('"sequence"')
    record.close()
    const next = open(path)
    next.begin('c', entry(1, 1_000))
    expect(readFileSync(path, 'utf8')).toContain('"sequence":1')
    next.close()
  })

  test('of a life that was stopped accuses nobody, but what was condemned stays so', async () => {
    const path = join(testFolder(), 'attempts.json')
    for (let life = 0; life < 5; life++) {
      const record = open(path)
      record.begin('c', entry(1))
      record.stop()
      record.close()
    }
    for (let life = 0; life < 2; life++) {
      const record = open(path)
      expect(record.isCondemned('c', entry(1))).toBe(false)
      await record.begin('c', entry(1))
      record.close()
    }
    for (let life = 0; life < 2; life++) {
      const record = open(path)
      expect(record.isCondemned('c', entry(1))).toBe(true)
      expect(record.isCondemned('other', entry(1))).toBe(false)
      if (life === 1) record.forget('c', entry(1))
      record.stop()
      record.close()
    }
    const record = open(path)
    expect(record.isCondemned('c', entry(1))).toBe(false)
    record.close()
  })

  test('lets entries have their turns one by one while there are suspects, and forgets one that is gone', async () => {
    const path = join(testFolder(), 'attempts.json')
    const first = open(path)
    first.begin('c', entry(1))
    first.begin('c', entry(2))
    first.close()
    const second = open(path)
    const ends = [2, 3, 4].map((sequence) => second.begin('c', entry(sequence)))
    const order: number[] = []
    ends.forEach((end, index) => void Promise.resolve(end).then(() => order.push(index)))
    for (const [index, end] of ends.entries()) {
      const ended = await end
      await new Promise(setImmediate)
      expect(order).toEqual([0, 1, 2].slice(0, index + 1))
      ended()
      ended()
    }
    await second.tried()
    expect(readFileSync(path, 'utf8')).toMatch(/"atWork":\[\],"suspects":\[\]/)
    expect(typeof second.begin('c', entry(5))).toBe('function')
    second.close()
  })
})
