import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { openStore, testFolder } from './folder.ts'
import { record } from './record.ts'
import { statementsIn } from './statements.ts'

const CHILD = fileURLToPath(new URL('./store-child.ts', import.meta.url))

interface Child {
  readonly process: ChildProcess
  readonly lines: string[]
  /** Resolves when so many lines came. */
  until(count: number): Promise<void>
  kill(): Promise<void>
}

function startChild(mode: 'open' | 'load' | 'drain', directory: string): Child {
  const child = spawn(process.execPath, ['--no-warnings', CHILD, mode, directory], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  let wanted = { count: 0, resolve: () => {} }
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line)
    if (lines.length >= wanted.count) wanted.resolve()
  })
  const exited = once(child, 'close')
  onTestFinished(() => void child.kill('SIGKILL'))
  return {
    process: child,
    lines,
    until: (count) =>
      new Promise((resolve) => {
        wanted = { count, resolve }
        if (lines.length >= count) resolve()
      }),
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

test('kill -9 under load, five times: what was durable is there, with its record, and nothing is half there', async () => {
  const folder = testFolder()
  const promised = new Map<number, { record: string; size: number }>()
  for (let round = 1; round <= 5; round++) {
    const child = startChild('load', folder)
    await child.until(40 * round)
    await child.kill()
    for (const line of child.lines.slice(1)) {
      const match = /^(\d+) (\d+\/\d+) (\d+)$/.exec(line)
      if (match) promised.set(Number(match[1]), { record: match[2], size: Number(match[3]) })
    }
    const store = await openStore(folder)
    const found = store.next('traces:next', 0, Number.MAX_SAFE_INTEGER)
    const statements = new Set(statementsIn(folder).map(({ key }) => key.toString()))
    const bySequence = new Map(found.map((entry) => [entry.sequence, entry]))
    for (const [sequence, { record: name, size }] of promised) {
      const body = bySequence.get(sequence)?.body
      expect(body?.length, `sequence ${sequence}`).toBe(size)
      expect(body?.every((byte) => byte === size % 251)).toBe(true)
      expect(statements.has(name), name).toBe(true)
    }
    // Entry and record are one write, so there is one of each for every append that reached the disk.
    expect(statements.size).toBe(found.length)
    expect(store.queuedItems).toBe(found.length)
    await store.close()
  }
  expect(promised.size).toBeGreaterThan(200)
}, 60_000)

test('kill -9 while files come, are written anew and go, ten times: nothing that nobody took is lost', async () => {
  const folder = testFolder()
  const [promised, taken, statements] = [new Map<number, number>(), new Set<number>(), new Set<string>()]
  for (let round = 1; round <= 10; round++) {
    const child = startChild('drain', folder)
    await child.until(60 + 25 * round)
    await child.kill()
    for (const line of child.lines.slice(1)) {
      const match = /^(?:taken (\d+)|(\d+) (\d+\/\d+) (\d+))$/.exec(line)
      if (match?.[1]) taken.add(Number(match[1]))
      else if (match) {
        promised.set(Number(match[2]), Number(match[4]))
        statements.add(match[3]!)
      }
    }
    const store = await openStore(folder, ['next'], { segmentBytes: 300_000 })
    const found = new Map(
      store.next('traces:next', 0, 100_000).map(({ sequence, body }) => [sequence, body.length]),
    )
    for (const [sequence, size] of promised)
      if (!taken.has(sequence)) expect(found.get(sequence), `round ${round}, sequence ${sequence}`).toBe(size)
    const filed = new Set(statementsIn(folder).map(({ key }) => key.toString()))
    expect([...statements].filter((name) => !filed.has(name))).toEqual([])
    await store.close()
  }
  expect(taken.size).toBeGreaterThan(200)
  // Two of three were taken: had no file been written anew, there would be three times as much.
  const names = readdirSync(join(folder, 'queue'))
  const bytes = names.reduce((sum, name) => sum + statSync(join(folder, 'queue', name)).size, 0)
  const live = [...promised]
    .filter(([sequence]) => !taken.has(sequence))
    .reduce((sum, [, size]) => sum + size, 0)
  expect(bytes).toBeLessThan(2.5 * live + 4 * 300_000)
}, 120_000)

test('of four processes that open a folder at once, one wins and three are told so', async () => {
  const folder = testFolder()
  const children = [1, 2, 3, 4].map(() => startChild('open', folder))
  await Promise.all(children.map((child) => child.until(1)))
  expect(children.map(({ lines }) => lines[0]).sort()).toEqual([
    'STORE_LOCKED',
    'STORE_LOCKED',
    'STORE_LOCKED',
    'open',
  ])
  const winner = children.find(({ lines }) => lines[0] === 'open')!
  await expect(openStore(folder)).rejects.toMatchObject({
    code: 'STORE_LOCKED',
    message: expect.stringContaining(`(pid ${winner.process.pid})`),
  })
  // A holder that is killed leaves nothing behind that would need clearing.
  await Promise.all(children.map((child) => child.kill()))
  await (await openStore(folder)).close()
}, 60_000)

test('a second store of the same process is told so, too', async () => {
  const folder = testFolder()
  const store = await openStore(folder)
  await expect(openStore(folder)).rejects.toMatchObject({ code: 'STORE_LOCKED' })
  await store.append(undefined, [record('one')]).durable
  await store.close()
  await (await openStore(folder)).close()
})
