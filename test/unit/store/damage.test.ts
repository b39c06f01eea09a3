// Damage at random to a data folder as a kill leaves it. Whatever was damaged, the store either has everything that it
// acknowledged, or says how many entries and items it lost, refuses to start until they are put aside, and then has the
// rest. BETRACE_DAMAGE_SEED repeats a failing run, BETRACE_DAMAGE_COUNT makes it longer.
import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { checkFolder } from '../../../src/store/check.ts'
import { SIGNALS } from '../../../src/store/entry.ts'
import { lockDirectory } from '../../../src/store/lock.ts'
import { salvageFolder } from '../../../src/store/salvage.ts'
import { Store } from '../../../src/store/store.ts'
import { testFolder } from './folder.ts'
import { statementsIn } from './statements.ts'

const COUNT = Number(process.env.BETRACE_DAMAGE_COUNT ?? 200)
const SEED = Number(process.env.BETRACE_DAMAGE_SEED ?? (Date.now() % 1_000_000) + 1)
const RUNNING_COUNT = Math.ceil(COUNT / 4)
const PAGE = 4096
const CONSUMERS = [
  { signal: 'traces', id: 'next' },
  { signal: 'logs', id: 'next' },
] as const

interface Truth {
  /** Acknowledged and not exported: sequence → what it is. */
  readonly waiting: Map<number, { signal: string; items: number; size: number }>
  readonly statements: Set<string>
  readonly keys: Map<string, string>
}

const options = (directory: string) => ({ directory, segmentBytes: 100_000, readCacheBytesMax: 0 })

/** Load until something stands everywhere; half of it is exported. What the folder holds then is copied, as a kill would leave it. */
async function makeFolder(
  folder: string,
  random: () => number,
  { count = 120, sizeMax = 40_000, isEndedByCursors = false, isAllHandedOut = false } = {},
): Promise<Truth> {
  const truth: Truth = { waiting: new Map(), statements: new Set(), keys: new Map() }
  const store = await Store.open(options(join(folder, 'live')), CONSUMERS)
  for (let i = 0; i < count; i++) {
    const signal = random() < 0.7 ? 'traces' : 'logs'
    const size = Math.floor(random() ** 3 * sizeMax)
    const items = 1 + Math.floor(random() * 9)
    const entry = {
      signal,
      itemCount: items,
      acceptedAtMs: 1,
      body: Buffer.alloc(size, i),
      refs: Buffer.of(i),
    } as const
    const statements = [
      { key: Buffer.from(`s${i}`), value: Buffer.alloc(200, i) },
      { key: Buffer.from(`\x01tenant ${i % 3}`), value: Buffer.alloc(200, i) },
    ]
    const sequence = await store.append(entry, statements).durable
    truth.waiting.set(sequence, { signal, items, size })
    truth.statements.add(`s${i}`)
    if (i % 4 === 0) {
      await store.keys.put(Buffer.from(`key ${i}`), Buffer.from(`record ${i}`))
      truth.keys.set(`key ${i}`, `record ${i}`)
    }
    if (i % 5 === 4) acknowledgeSome(store, truth, random)
  }
  await expect.poll(() => store.health().ok).toBe(true)
  // The cursors of the last acknowledgements go out with this one, or alone behind an entry.
  if (isEndedByCursors) {
    const { size } = statSync(newestQueueFile(folder))
    acknowledgeSome(store, truth, random)
    await expect.poll(() => statSync(newestQueueFile(folder)).size).toBeGreaterThan(size)
  } else {
    if (isAllHandedOut) takeAllButLast(store, truth)
    await store.append(undefined, [{ key: Buffer.from('last'), value: Buffer.of(1) }]).durable
    truth.statements.add('last')
  }
  cpSync(join(folder, 'live'), join(folder, 'killed'), { recursive: true })
  await store.close()
  return truth
}

/** The very last entry is handed out, and not acknowledged. */
function takeAllButLast(store: Store, truth: Truth): void {
  const last = Math.max(...truth.waiting.keys())
  for (const { signal, id } of CONSUMERS) {
    for (const { sequence } of store.next(`${signal}:${id}`, 0, 1_000)) {
      if (sequence === last) continue
      store.ack(`${signal}:${id}`, sequence)
      truth.waiting.delete(sequence)
    }
  }
}

function newestQueueFile(folder: string): string {
  const queue = join(folder, 'live', 'queue')
  return join(queue, readdirSync(queue).sort().at(-1)!)
}

/** The oldest leave in order, and some out of order. */
function acknowledgeSome(store: Store, truth: Truth, random: () => number): void {
  for (const { signal, id } of CONSUMERS) {
    for (const { sequence } of store.next(`${signal}:${id}`, 0, 3)) {
      if (random() < 0.3) continue
      store.ack(`${signal}:${id}`, sequence)
      truth.waiting.delete(sequence)
    }
  }
}

function damageSome(folder: string, random: () => number): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && (entry.name === 'mark' || entry.name.endsWith('.log')))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  const file = files[Math.floor(random() * files.length)]!
  const { size } = statSync(file)
  const page = Math.floor((random() * size) / PAGE)
  const kind = Math.floor(random() * 6)
  const what = `${file.slice(folder.length)} of ${size}, kind ${kind}, page ${page}`
  if (kind === 0) rmSync(file)
  else if (kind === 1) truncateSync(file, 0)
  else if (kind === 2) truncateSync(file, Math.floor(random() * size))
  else {
    const fd = openSync(file, 'r+')
    const bytes = Buffer.alloc(kind === 5 ? 1 : PAGE)
    if (kind !== 3) for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(random() * 256)
    const at = kind === 5 ? Math.floor(random() * size) : page * PAGE
    writeSync(fd, bytes, 0, Math.min(bytes.length, size - at), at)
    closeSync(fd)
  }
  return what
}

function whatIsThere(folder: string, store: Store, truth: Truth) {
  const found = CONSUMERS.flatMap(({ signal, id }) => store.next(`${signal}:${id}`, 0, 1_000))
  for (const { sequence, signal, itemCount, body } of found) {
    const known = truth.waiting.get(sequence)
    if (known) expect({ signal, items: itemCount, size: body.length }).toEqual(known)
  }
  const missing = [...truth.waiting].filter(
    ([sequence]) => !found.some((entry) => entry.sequence === sequence),
  )
  const statements = new Set(statementsIn(folder).map(({ key }) => key.toString()))
  return {
    again: found.length - (truth.waiting.size - missing.length),
    missing: missing.map(([, known]) => known),
    missingStatements: [...truth.statements].filter((name) => !statements.has(name)).length,
    missingKeys: [...truth.keys].filter(
      ([key, value]) => Buffer.from(store.keys.get(Buffer.from(key)) ?? []).toString() !== value,
    ).length,
  }
}

test(`${COUNT} damages: what is lost is counted and named each time`, async () => {
  console.log(`BETRACE_DAMAGE_SEED=${SEED}`)
  const random = generator(SEED)
  const folder = testFolder()
  const truth = await makeFolder(folder, random)
  const tally = { unharmed: 0, told: 0, entries: 0, items: 0, statements: 0, keys: 0 }
  for (let round = 0; round < COUNT; round++) {
    const copy = join(folder, 'copy')
    rmSync(copy, { recursive: true, force: true })
    mkdirSync(copy)
    cpSync(join(folder, random() < 0.8 ? 'killed' : 'live'), copy, { recursive: true })
    const what = `seed ${SEED}, round ${round}: ${damageSome(copy, random)}`
    await oneRound(copy, what, truth, tally)
  }
  console.log(JSON.stringify(tally))
  expect(tally.told).toBeGreaterThan(COUNT / 4)
}, 300_000)

test.each([
  ['behind a last entry', true],
  ['with a last record that has no entry', false],
] as const)(
  'one byte damaged in each record of a small queue, cursors %s',
  async (_, isEndedByCursors) => {
    console.log(`BETRACE_DAMAGE_SEED=${SEED}`)
    const random = generator(SEED + 2)
    const folder = testFolder()
    const truth = await makeFolder(folder, random, {
      count: 24,
      sizeMax: 60,
      isEndedByCursors,
      isAllHandedOut: true,
    })
    const tally = { unharmed: 0, told: 0, entries: 0, items: 0, statements: 0, keys: 0 }
    const queue = join('queue', readdirSync(join(folder, 'killed', 'queue'))[0]!)
    const { size } = statSync(join(folder, 'killed', queue))
    // The least record has more bytes than a step, so that each is hit, also the last entry before cursors alone.
    for (let at = 0; at < size; at += 60) {
      const copy = join(folder, 'copy')
      rmSync(copy, { recursive: true, force: true })
      cpSync(join(folder, 'killed'), copy, { recursive: true })
      const fd = openSync(join(copy, queue), 'r+')
      writeSync(fd, Buffer.of(Math.floor(random() * 256)), 0, 1, at)
      closeSync(fd)
      await oneRound(copy, `seed ${SEED}, byte ${at} of ${queue}`, truth, tally)
    }
    console.log(JSON.stringify(tally))
    expect(tally.told).toBeGreaterThan(25)
  },
  300_000,
)

test(`${RUNNING_COUNT} damages under a running store`, async () => {
  console.log(`BETRACE_DAMAGE_SEED=${SEED}`)
  const random = generator(SEED + 1)
  const folder = testFolder()
  const truth = await makeFolder(folder, random)
  const tally = { unharmed: 0, told: 0, entries: 0, items: 0, statements: 0, keys: 0 }
  for (let round = 0; round < RUNNING_COUNT; round++) {
    const copy = join(folder, 'copy')
    rmSync(copy, { recursive: true, force: true })
    cpSync(join(folder, 'killed'), copy, { recursive: true })
    const seen: Truth = {
      waiting: new Map(truth.waiting),
      statements: new Set(truth.statements),
      keys: new Map(truth.keys),
    }
    const store = await Store.open(options(copy), CONSUMERS)
    const what = `seed ${SEED}, round ${round}: ${await runWithDamage(store, copy, seen, random)}`
    await store.close()
    await oneRound(copy, what, seen, tally)
  }
  console.log(JSON.stringify(tally))
  expect(tally.told).toBeGreaterThan(RUNNING_COUNT / 10)
}, 300_000)

/** Appends before and after the damage; what is said OK to is promised. Half of the time somebody reads, too. */
async function runWithDamage(store: Store, copy: string, seen: Truth, random: () => number): Promise<string> {
  let what = ''
  for (let i = 0; i < 20; i++) {
    if (i === 10) what = damageSome(copy, random)
    const size = Math.floor(random() * 20_000)
    const entry = {
      signal: 'traces',
      itemCount: 2,
      acceptedAtMs: 1,
      body: Buffer.alloc(size, i),
      refs: Buffer.of(i),
    } as const
    try {
      const name = `running ${i}`
      const sequence = await store.append(entry, [{ key: Buffer.from(name), value: Buffer.of(i) }]).durable
      seen.waiting.set(sequence, { signal: 'traces', items: 2, size })
      seen.statements.add(name)
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'STORE_FAILED' })
      await expect.poll(() => store.health().ok).toBe(false)
    }
    if (i === 15 && random() < 0.5) store.next('traces:next', 0, 1_000)
  }
  return what
}

async function oneRound(
  copy: string,
  what: string,
  truth: Truth,
  tally: Record<string, number>,
): Promise<void> {
  const report = checkFolder(copy)
  if (!report) throw new Error(what)
  const isTold = report.losses.length > 0 || report.isMarkLost
  const opened = await Store.open(options(copy), CONSUMERS).catch(
    (thrown: Error & { code: string }) => thrown.code,
  )
  if (typeof opened === 'string') {
    expect([opened, isTold], what).toEqual(['STORE_CORRUPT', true])
  } else {
    const there = whatIsThere(copy, opened, truth)
    await opened.close()
    if (!isTold) {
      expect(there, what).toMatchObject({ missing: [], missingStatements: 0, missingKeys: 0 })
      tally.unharmed!++
      return
    }
    // Of older evidence a start only looks at the sizes.
    expect(
      report.losses.every(({ log }) => log === 'evidence'),
      what,
    ).toBe(true)
  }
  tally.told!++
  const lock = lockDirectory(copy)
  const lost = await salvageFolder(copy, lock)
  lock.release()
  const store = await Store.open(options(copy), CONSUMERS)
  const { missing, missingStatements, missingKeys } = whatIsThere(copy, store, truth)
  expect(store.health().ok, what).toBe(true)
  await store.append(
    { signal: 'traces', itemCount: 1, acceptedAtMs: 1, body: Buffer.of(1), refs: Buffer.of() },
    [],
  ).durable
  await store.close()
  const told = { entries: 0, items: 0 }
  for (const loss of lost!.losses) {
    for (const signal of SIGNALS) {
      told.entries += loss.totals[signal].entries
      told.items += loss.totals[signal].items
    }
  }
  // Entries that left between two cursors that are lost too are counted as well: never fewer than are gone.
  expect(told.entries, what).toBeGreaterThanOrEqual(missing.length)
  expect(told.items, what).toBeGreaterThanOrEqual(missing.reduce((sum, { items }) => sum + items, 0))
  if (missingStatements > 0)
    expect(lost!.losses.filter(({ log }) => log !== 'keys').length, what).toBeGreaterThan(0)
  if (missingKeys > 0)
    expect(
      lost!.losses.some(({ log }) => log === 'keys'),
      what,
    ).toBe(true)
  expect(checkFolder(copy)!.losses, what).toEqual([])
  tally.entries! += missing.length
  tally.items! += missing.reduce((sum, { items }) => sum + items, 0)
  tally.statements! += missingStatements
  tally.keys! += missingKeys
}

/** Mulberry32: small, seeded. */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
