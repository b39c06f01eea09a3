// Group commit over an environment that fails as told, for what a healthy disk never does.
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import type { SidecarError } from '../../../src/base/errors.ts'
import type { Environment, Write } from '../../../src/store/environment.ts'
import { GroupCommit } from '../../../src/store/group-commit.ts'

interface Commit {
  readonly keys: string
  resolve(): void
  reject(reason: Error): void
}

/** `commits` holds what is under way; nothing ends unless the test says so. */
function setUp(commitMsMax = 10_000) {
  const commits: Commit[] = []
  const state = { isUsable: true }
  const environment = {
    commit: (writes: readonly Write[]) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      commits.push({ keys: writes.map(({ key }) => String.fromCharCode(key[0])).join(''), resolve, reject })
      return promise
    },
    isUsable: () => state.isUsable,
  }
  const group = new GroupCommit({
    // The other members are not used by group commit.
    environment: environment as unknown as Environment,
    clock: systemClock,
    commitMsMax,
    companions: () => [],
    onCommit: () => undefined,
  })
  const writeOf = (name: string): Write => ({ database: 'meta', key: Buffer.from(name), value: undefined })
  const outcomes: string[] = []
  const told = (name: string, verb: string) => (failure: SidecarError | undefined) =>
    outcomes.push(`${name} ${verb} ${failure ? failure.code : 'ok'}`)
  return {
    commits,
    state,
    group,
    outcomes,
    append: (name: string, bytes = 1) =>
      group.append({
        writes: [writeOf(name)],
        bytes,
        settle: told(name, 'settled'),
        giveUp: told(name, 'given up'),
      }),
    remove: (name: string) =>
      group.remove({ writes: [writeOf(name)], removed: () => outcomes.push(`${name} removed`) }),
    /** The n-th commit, once it is under way. */
    commit: async (n: number) => {
      await expect.poll(() => commits.length).toBeGreaterThanOrEqual(n)
      return commits[n - 1]
    },
  }
}

describe('group commit', () => {
  test('puts what comes together into one commit, and what comes meanwhile into the next', async () => {
    const { append, commit, commits, outcomes } = setUp()
    for (const name of 'abc') append(name)
    const first = await commit(1)
    for (const name of 'de') append(name)
    expect([first.keys, commits.length]).toEqual(['abc', 1])
    first.resolve()
    const second = await commit(2)
    expect(second.keys).toBe('de')
    expect(outcomes).toEqual(['a settled ok', 'b settled ok', 'c settled ok'])
    second.resolve()
  })

  test('bounds a commit by bytes, but lets one that is larger through', async () => {
    const { append, commit } = setUp()
    append('a', 5_000_000)
    append('b', 5_000_000)
    append('c', 50_000_000)
    for (const [n, keys] of [
      [1, 'a'],
      [2, 'b'],
      [3, 'c'],
    ] as const) {
      const under = await commit(n)
      expect(under.keys).toBe(keys)
      under.resolve()
    }
  })

  test('after a failure first removes, alone, then goes on with what waits', async () => {
    const { append, remove, commit, outcomes, group } = setUp()
    append('a')
    remove('r')
    const first = await commit(1)
    expect(first.keys).toBe('ar')
    append('b')
    first.reject(new Error('no space'))
    const second = await commit(2)
    expect(second.keys).toBe('r')
    expect(group.health()).toMatchObject({ ok: false, reason: 'no space', isStuck: false })
    second.resolve()
    const third = await commit(3)
    expect(third.keys).toBe('b')
    third.resolve()
    await expect.poll(() => outcomes).toEqual(['a settled STORE_FAILED', 'r removed', 'b settled ok'])
    expect(group.health()).toMatchObject({ ok: true, failingSinceMs: undefined })
  })

  test('does not spin while the disk stays full: each append is tried once', async () => {
    const { append, remove, commit, outcomes } = setUp()
    remove('r')
    append('a')
    ;(await commit(1)).reject(new Error('no space'))
    append('b')
    ;(await commit(2)).reject(new Error('no space'))
    const third = await commit(3)
    expect(third.keys).toBe('br')
    third.reject(new Error('no space'))
    await expect.poll(() => outcomes).toEqual(['a settled STORE_FAILED', 'b settled STORE_FAILED'])
  })

  test('tells who waits when a commit hangs, and works again when it ends after all', async () => {
    const { append, commit, outcomes, group } = setUp(50)
    append('a')
    const first = await commit(1)
    append('b')
    await expect.poll(() => outcomes).toEqual(['a given up STORE_FAILED', 'b settled STORE_FAILED'])
    expect(group.health()).toMatchObject({ ok: false, isStuck: true })
    first.resolve()
    await expect.poll(() => outcomes.at(-1)).toBe('a settled ok')
    expect(group.health().isStuck).toBe(false)
    append('c')
    ;(await commit(2)).resolve()
    await expect.poll(() => outcomes.at(-1)).toBe('c settled ok')
  })

  test('begins nothing more when the environment is unusable, and closes without it', async () => {
    const { append, commit, commits, outcomes, group, state } = setUp()
    append('a')
    const first = await commit(1)
    append('b')
    state.isUsable = false
    first.reject(new Error('the meta page was not written'))
    await expect.poll(() => outcomes).toEqual(['a settled STORE_FAILED', 'b settled STORE_FAILED'])
    expect(group.health()).toMatchObject({ ok: false, isStuck: true })
    expect(await group.close()).toBe(false)
    expect(commits).toHaveLength(1)
  })

  test('does not wait for a hanging commit when it closes', async () => {
    const { append, commit, group } = setUp(50)
    append('a')
    await commit(1)
    expect(await group.close()).toBe(false)
  })
})
