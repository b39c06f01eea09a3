import { expect, test } from 'vitest'
import { type Slices, Turns } from '../../../src/base/turns.ts'

/** Works `count` slices of `ms` each, on a clock of its own, so that no machine is too slow for it. */
function worker(log: string[], name: string, count: number, tick: () => void): Slices<string> {
  return (function* () {
    for (let i = 0; i < count; i++) {
      tick()
      log.push(name)
      yield
    }
    return name
  })()
}

test('after its share of a turn, work waits until the event loop has come round', async () => {
  let nowMs = 0
  const turns = new Turns(() => nowMs)
  const log: string[] = []
  const probe = (): void => {
    log.push('probe')
    if (log.filter((each) => each === 'work').length < 100) setImmediate(probe)
  }
  setImmediate(probe)
  const tick = (): void => {
    nowMs += 5
  }
  await turns.run(worker(log, 'work', 100, tick))
  let longest = 0
  let row = 0
  for (const each of log) {
    row = each === 'work' ? row + 1 : 0
    longest = Math.max(longest, row)
  }
  expect(longest).toBeLessThanOrEqual(6)
  expect(log.filter((each) => each === 'work')).toHaveLength(100)
})

test('who waits longest goes first, and all come to their end', async () => {
  let nowMs = 0
  const turns = new Turns(() => nowMs)
  const log: string[] = []
  const tick = (): void => {
    nowMs += 25
  }
  const done = ['a', 'b', 'c'].map((name) => turns.run(worker(log, name, 4, tick)))
  expect(await Promise.all(done)).toEqual(['a', 'b', 'c'])
  // The first began before there was anybody to wait for.
  expect(log.join('')).toBe('aabcabcabcbc')
})

test('work in one go begins at once while there is time, and waits when there is none', async () => {
  let nowMs = 0
  const turns = new Turns(() => nowMs)
  expect(turns.next()).toBeUndefined()
  nowMs += 10
  expect(turns.next()).toBeUndefined()
  nowMs += 30
  const waiting = turns.next()
  expect(waiting).toBeInstanceOf(Promise)
  await waiting
  expect(turns.next()).toBeUndefined()
})

test('of what waits in one go, as much has its turn as there is time for', async () => {
  let nowMs = 0
  let loopCount = 0
  const turns = new Turns(() => nowMs)
  const count = (): void => {
    loopCount++
    setImmediate(count).unref()
  }
  setImmediate(count).unref()
  const work = async (): Promise<void> => {
    const turn = turns.next()
    if (turn) await turn
    nowMs += 1
  }
  turns.next()
  nowMs += 30
  await Promise.all(Array.from({ length: 200 }, work))
  // Twenty milliseconds a turn: ten turns and some, and not two hundred.
  expect(loopCount).toBeGreaterThan(5)
  expect(loopCount).toBeLessThan(30)
})

test('what work throws is its caller’s, and the next has its turn', async () => {
  const turns = new Turns()
  const failing = (function* (): Slices<void> {
    yield
    throw new Error('broken')
  })()
  await expect(turns.run(failing)).rejects.toThrow('broken')
  expect(await turns.run(worker([], 'next', 2, () => undefined))).toBe('next')
})
