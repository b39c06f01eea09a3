// What `verify` and `reveal` have in common about files of others: how lines are told apart, and the words for what is
// wrong with one.
import { asSidecarError, SidecarError } from '../../base/errors.ts'

/** What could not be read. `line` counts from 1; absent where there are no lines, or it is all of the file. */
export interface InputFault {
  readonly line?: number
  readonly message: string
}

const NEWLINE = 0x0a
const GZIP = 0x1f8b
const ZSTD = 0x28b5

export const emptyInput = (): SidecarError => malformed('is empty')
export const notOtlp = (): SidecarError => malformed('is neither OTLP/JSON nor OTLP protobuf')

/** What can be said of a whole file at a glance. */
export function faultOfWhole(bytes: Uint8Array): SidecarError | undefined {
  const magic = (bytes[0]! << 8) | bytes[1]!
  if (magic === GZIP || magic === ZSTD) return malformed('is compressed: unpack it first')
  return isBlank(bytes) ? emptyInput() : undefined
}

/** One line, whatever was thrown. */
export function faultText(thrown: unknown): string {
  if (thrown instanceof SidecarError) return thrown.message
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  return (
    SYSTEM_FAULTS.get(code) ??
    (typeof code === 'string' ? `cannot be read (${code})` : asSidecarError(thrown).message)
  )
}

const SYSTEM_FAULTS: ReadonlyMap<unknown, string> = new Map([
  ['ENOENT', 'no such file'],
  ['EISDIR', 'is a folder'],
  ['EACCES', 'may not be read'],
])

/** Lines without their ends, each with its number; blank ones are left out. */
export function* numberedLines(
  bytes: Uint8Array,
): Generator<{ readonly line: number; readonly bytes: Uint8Array }> {
  let line = 0
  for (let at = 0; at < bytes.length; ) {
    const found = bytes.indexOf(NEWLINE, at)
    const end = found < 0 ? bytes.length : found
    line++
    const content = bytes.subarray(at, end)
    if (!isBlank(content)) yield { line, bytes: content }
    at = end + 1
  }
}

/** Whether a line is a request of its own: it looks like a whole object, though it may be a broken one. */
export function isJsonLine(line: Uint8Array): boolean {
  const text = Buffer.from(line.buffer, line.byteOffset, line.length).toString('latin1').trim()
  return text.startsWith('{') && text.endsWith('}')
}

/** Whether a file is one request a line, with something else in between. An indented object is part of a document. */
export function hasJsonLines(bytes: Uint8Array): boolean {
  for (const { bytes: line } of numberedLines(bytes)) if (line[0] === 0x7b && isJsonLine(line)) return true
  return false
}

export function firstVisible(bytes: Uint8Array): number | undefined {
  return bytes.find((byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0d && byte !== NEWLINE)
}

export function isBlank(bytes: Uint8Array): boolean {
  return firstVisible(bytes) === undefined
}

function malformed(message: string): SidecarError {
  return new SidecarError('MALFORMED', message)
}
