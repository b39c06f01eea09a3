import type { Environment, Write } from './environment.ts'

export interface KeyedValue {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** Tables that others keep records in. `meta` also holds the store's own, under keys that start with `store/`. */
export type TableName = 'statements' | 'keys' | 'meta'

/** A record of a table, for `Store.append`. */
export interface TableRecord {
  readonly table: TableName
  readonly key: Uint8Array
  readonly value: Uint8Array
}

export interface RangeOptions {
  /** First key, inclusive. */
  readonly start?: Uint8Array
  /** Last key, exclusive. */
  readonly end?: Uint8Array
  readonly reverse?: boolean
  readonly limit?: number
}

/** Ordered by the bytes of the key. What is read is a copy and the caller's own. */
export interface Table {
  get(key: Uint8Array): Uint8Array | undefined
  /** One look at what is committed now; nothing stays open, whatever the caller does with the result. */
  range(options?: RangeOptions): { readonly key: Uint8Array; readonly value: Uint8Array }[]
  /** On disk when the promise resolves; in one transaction with whatever else is written at that moment. */
  put(key: Uint8Array, value: Uint8Array): Promise<void>
  /** The same, for what goes. */
  remove(key: Uint8Array): Promise<void>
}

/** Reads go to the environment; writes go through `write`, which joins the group commit. */
export function openTable(
  environment: Environment,
  name: TableName | 'corrupt',
  write: (write: Write) => Promise<void>,
): Table {
  const database = environment.databases[name]
  return {
    get: (key) => {
      const value = database.get(key)
      return value && new Uint8Array(value)
    },
    range: (options = {}) => {
      const found: { key: Uint8Array; value: Uint8Array }[] = []
      for (const { key, value } of database.getRange(options)) {
        found.push({ key: new Uint8Array(key), value: new Uint8Array(value) })
      }
      return found
    },
    put: (key, value) => write({ database: name, key, value }),
    remove: (key) => write({ database: name, key, value: undefined }),
  }
}
