// Looks and writes that the queue needs when it opens, and when it finds damage.
import type { Signal } from '../wire/otlp.ts'
import { entryKey, Part, sequenceOf } from './entry.ts'
import type { Environment, Write } from './environment.ts'

const CURSOR_PREFIX = 'store/cursor/'

export function cursorKey(consumer: string): Buffer {
  return Buffer.from(CURSOR_PREFIX + consumer)
}

/** Removes the cursors of consumers that are not known any more. */
export function foreignCursorWrites(environment: Environment, known: ReadonlyMap<string, unknown>): Write[] {
  const start = Buffer.from(CURSOR_PREFIX)
  const end = Buffer.concat([start, Buffer.of(0xff)])
  const writes: Write[] = []
  for (const { key } of environment.databases.meta.getRange({ start, end })) {
    const name = Buffer.from(key).toString('utf8').slice(CURSOR_PREFIX.length)
    if (!known.has(name)) writes.push({ database: 'meta', key: Buffer.from(key), value: undefined })
  }
  return writes
}

/** The highest sequence of one signal in the queue; 0 when there is none. */
export function newestSequence(environment: Environment, signal: Signal): number {
  const start = entryKey(Part.HEADER, signal, Number.MAX_SAFE_INTEGER)
  const end = entryKey(Part.HEADER, signal, 0)
  const { queue } = environment.databases
  for (const { key } of queue.getRange({ start, end, reverse: true, limit: 1 })) return sequenceOf(key) ?? 0
  return 0
}

/** Moves what is left of a damaged entry, as it is, from the queue to the `corrupt` database. */
export function setAsideWrites(environment: Environment, signal: Signal, sequence: number): Write[] {
  const writes: Write[] = []
  for (const part of [Part.HEADER, Part.BODY]) {
    const key = entryKey(part, signal, sequence)
    const value = environment.databases.queue.get(key)
    if (value) writes.push({ database: 'corrupt', key, value }, { database: 'queue', key, value: undefined })
  }
  return writes
}
