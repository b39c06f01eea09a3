/** A statement, with text for bytes. */
export function record(key: string, value = key) {
  return { key: Buffer.from(key), value: Buffer.from(value) }
}
