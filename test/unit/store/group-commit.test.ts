// Group commit over an environment that fails as told, for what a healthy disk never does.
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import type { SidecarError } from '../../../src/base/errors.ts'
import { GroupCommit } from '../../../src/store/group-commit.ts'

interface Commit {
  readonly keys: string
  resolve(): void
  reject(reason: Error): void
}

/** `commits` holds what is under way; nothing ends unless the test says so. `told` is what consumers have to say. */
function setUp(commitMsMax = 10_000) {
  const commits: Commit[] = []
  const state = { told: '', upkeep: async (): Promise<void> => undefined }
  const group = new GroupCommit<string>({
    commit: (drafts, isTrial) => {
      const keys = drafts.join('') + state.told + (isTrial ? '?' : '')
      state.told = ''
      if (keys === '') return Promise.resolve(false)
      const { promise, resolve, reject } = Promise.withResolvers<boolean>()
      commits.push({ keys, resolve: () => resolve(true), reject })
      return promise
    },
    upkeep: () => state.upkeep(),
    clock: systemClock,
    commitMsMax,
    onCommit: () => undefined,
  })
  const outcomes: string[] = []
  const told = (name: string, verb: string) => (failure: SidecarError | undefined) =>
    outcomes.push(`${name} ${verb} ${failure ? failure.code : 'ok'}`)
  return {
    commits,
    state,
    group,
    outcomes,
    append: (name: string, bytes = 1) =>
      group.append({ draft: name, bytes, settle: told(name, 'settled'), giveUp: told(name, 'given up') }),
    tell: (name: string) => {
      state.told += name
      group.wake()
    },
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

  test('takes along what consumers told, and commits it alone when nothing comes', async () => {
    const { append, tell, commit } = setUp()
    tell('r')
    append('a')
    const first = await commit(1)
    expect(first.keys).toBe('ar')
    tell('s')
    first.resolve()
    const second = await commit(2)
    expect(second.keys).toBe('s')
    second.resolve()
  })

  test('after a failure tries by itself until the disk works, and says that it fails until then', async () => {
    const { append, commit, outcomes, group } = setUp()
    append('a')
    ;(await commit(1)).reject(new Error('no space'))
    const second = await commit(2)
    expect(second.keys).toBe('?')
    expect(group.health()).toMatchObject({ ok: false, reason: 'no space', isStuck: false })
    append('b')
    second.reject(new Error('no space'))
    const third = await commit(3)
    expect(third.keys).toBe('b?')
    third.resolve()
    await expect.poll(() => outcomes).toEqual(['a settled STORE_FAILED', 'b settled ok'])
    await expect.poll(() => group.health()).toMatchObject({ ok: true, failingSinceMs: undefined })
  })

  test('tries upkeep again that failed, and is not well before it worked', async () => {
    const { append, commit, state, group, outcomes } = setUp()
    let failures = 2
    state.upkeep = async () => {
      if (failures-- > 0) throw new Error('no space')
    }
    append('a')
    ;(await commit(1)).resolve()
    await expect.poll(() => group.health().ok).toBe(false)
    expect(outcomes).toEqual(['a settled ok'])
    ;(await commit(2)).resolve()
    ;(await commit(3)).resolve()
    await expect.poll(() => group.health().ok).toBe(true)
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

  test('does not wait for a hanging commit when it closes', async () => {
    const { append, commit, group } = setUp(50)
    append('a')
    await commit(1)
    expect(await group.close()).toBe(false)
  })
})
