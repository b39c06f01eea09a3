// Where each key's record stands in the key files. Both copies hold the same bytes at the same places, so one position
// serves both: what one copy cannot give is read from the other.
import { closeSync, openSync } from 'node:fs'
import { SidecarError } from '../base/errors.ts'
import { KEY_COPIES, type KeyCopy, keysPath } from './data-folder.ts'
import { decodePairs } from './data-record.ts'
import type { Extent } from './extent.ts'
import { Kind, tagOf } from './frame.ts'
import { nameOf } from './names.ts'
import { readRecord } from './scan.ts'
import { type Loss, type Survey, surveyFile } from './survey.ts'
import type { KeyedValue, RangeOptions } from './table.ts'

export interface KeyFiles {
  readonly directory: string
  readonly secret: Uint8Array
  readonly file: number
}

interface Operation {
  readonly number: number
  readonly key: string
  /** `undefined`: the key was removed. */
  readonly at: number | undefined
}

export class KeyIndex {
  readonly #tag: Buffer
  readonly #fds: (number | undefined)[]
  readonly #places = new Map<string, number>()
  /** Ascending by the bytes of the key; `undefined` when it has to be made anew. */
  #sorted: string[] | undefined

  constructor({ directory, secret, file }: KeyFiles) {
    this.#tag = tagOf(secret, 'keys', file)
    this.#fds = KEY_COPIES.map((copy) => openIfThere(keysPath(directory, file, copy)))
  }

  get size(): number {
    return this.#places.size
  }

  /** `undefined` when there is none. Throws STORE_CORRUPT when there is one and neither copy can give it. */
  get(key: Uint8Array): Uint8Array | undefined {
    const at = this.#places.get(nameOf(key))
    return at === undefined ? undefined : this.#read(at, nameOf(key))
  }

  range({ start, end, reverse = false, limit = Number.POSITIVE_INFINITY }: RangeOptions = {}): KeyedValue[] {
    this.#sorted ??= [...this.#places.keys()].sort()
    const from = start ? lowerBound(this.#sorted, nameOf(start)) : 0
    const to = end ? lowerBound(this.#sorted, nameOf(end)) : this.#sorted.length
    const names =
      limit < to - from && !reverse ? this.#sorted.slice(from, from + limit) : this.#sorted.slice(from, to)
    if (reverse) names.reverse()
    return names.slice(0, limit).map((name) => ({
      key: new Uint8Array(Buffer.from(name, 'latin1')),
      value: this.#read(this.#places.get(name)!, name),
    }))
  }

  /** All records as they would be put again, read as they are walked. */
  *all(): Generator<KeyedValue> {
    for (const [name, at] of this.#places)
      yield { key: Buffer.from(name, 'latin1'), value: this.#read(at, name) }
  }

  apply({ key, at }: Omit<Operation, 'number'>): void {
    if (at === undefined) {
      if (this.#places.delete(key)) this.#sorted = undefined
      return
    }
    if (!this.#places.has(key) && this.#sorted) this.#sorted.splice(lowerBound(this.#sorted, key), 0, key)
    this.#places.set(key, at)
  }

  close(): void {
    for (const fd of this.#fds) if (fd !== undefined) closeSync(fd)
  }

  #read(at: number, name: string): Uint8Array {
    for (const fd of this.#fds) {
      const found = fd === undefined ? undefined : readRecord(fd, this.#tag, at)
      if (!found || found.frame.kind !== Kind.PUT) continue
      for (const { key, value } of decodePairs(found.meta))
        if (nameOf(key) === name) return new Uint8Array(value)
    }
    throw new SidecarError('STORE_CORRUPT', 'a key record cannot be read from either copy')
  }
}

export interface OpenedKeys {
  readonly index: KeyIndex
  readonly extent: Extent
  /** What neither copy has. */
  readonly losses: readonly Loss[]
  /** The copies differ, or one is damaged; together they may still have everything. */
  readonly isUneven: boolean
}

/** Reads both copies and puts together what they have. */
export function openKeyIndex(files: KeyFiles, known: Extent): OpenedKeys {
  const operations = new Map<number, Operation>()
  const surveys = KEY_COPIES.map((copy) => surveyCopy(files, copy, known, operations))
  const index = new KeyIndex(files)
  const numbers = [...operations.keys()].sort((a, b) => a - b)
  for (const number of numbers) index.apply(operations.get(number)!)
  const [first, second] = surveys
  const extent = first.extent.records >= second.extent.records ? first.extent : second.extent
  const missing = extent.records - numbers.length
  const isUneven =
    surveys.some(({ losses }) => losses.length > 0) || first.extent.endAt !== second.extent.endAt
  const losses = missing > 0 ? [lossOf(files.file, missing, extent)] : []
  return { index, extent, losses, isUneven }
}

function surveyCopy(
  { directory, secret, file }: KeyFiles,
  copy: KeyCopy,
  known: Extent,
  operations: Map<number, Operation>,
): Survey {
  const path = keysPath(directory, file, copy)
  const tag = tagOf(secret, 'keys', file)
  return surveyFile({ log: 'keys', file, path, tag, known, isLast: true }, ({ frame, at, meta }) => {
    if (!meta) return
    for (const { key } of decodePairs(meta)) {
      const place = frame.kind === Kind.PUT ? at : undefined
      operations.set(frame.number, { number: frame.number, key: nameOf(key), at: place })
    }
  })
}

function lossOf(file: number, records: number, { totals }: Extent): Loss {
  return { log: 'keys', file, records, last: 0, totals, sequences: [0, 0] }
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined
    throw thrown
  }
}

function lowerBound(sorted: readonly string[], name: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle] < name) low = middle + 1
    else high = middle
  }
  return low
}
