export interface KeyedValue {
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
  range(options?: RangeOptions): KeyedValue[]
  /** On disk when the promise resolves. */
  put(key: Uint8Array, value: Uint8Array): Promise<void>
  /** The same, for what goes. */
  remove(key: Uint8Array): Promise<void>
}
