/** A record of a table, with text for bytes. */
export function record(table: 'statements' | 'keys' | 'meta', key: string, value = key) {
  return { table, key: Buffer.from(key), value: Buffer.from(value) }
}
