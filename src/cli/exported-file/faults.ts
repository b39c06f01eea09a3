// The words for what is wrong with a file of others, the same in `verify` and `reveal`. None holds anything of the file.
import { asSidecarError, SidecarError } from '../../base/errors.ts'

/** Where in a file: a line, or one of several requests with their lengths before them. Both count from 1. */
export interface FilePlace {
  readonly line?: number
  readonly request?: number
}

/** What could not be read, and where; all of the file where no place is named. */
export interface FileFault extends FilePlace {
  readonly message: string
}

export const FAULTS = {
  empty: 'is empty',
  compressed: 'is compressed: unpack it first',
  utf16: 'is UTF-16: save it as UTF-8',
  webPage: 'is a web page or XML, not exported telemetry',
  notOtlp: 'is neither OTLP/JSON nor OTLP protobuf',
  noSignal: 'json has no resourceSpans, resourceLogs or resourceMetrics',
  cutRequest: 'is cut off within a request',
  notRequest: 'is no OTLP protobuf',
  lostFrames: 'is no OTLP protobuf either: what follows is not read',
} as const

const GZIP = 0x1f8b
const ZSTD = 0x28b5
const UTF16 = new Set([0xfffe, 0xfeff])
const LESS_THAN = 0x3c

/** What can be said of a file by its first bytes. */
export function faultOfHead(head: Uint8Array): string | undefined {
  const magic = (head[0]! << 8) | head[1]!
  if (magic === GZIP || magic === ZSTD) return FAULTS.compressed
  if (UTF16.has(magic)) return FAULTS.utf16
  return undefined
}

/** What can be said of a whole file that is no request in any form. */
export function faultOfWhole(bytes: Uint8Array): string {
  const first = firstVisible(bytes)
  if (first === undefined) return FAULTS.empty
  return first === LESS_THAN ? FAULTS.webPage : FAULTS.notOtlp
}

export function firstVisible(bytes: Uint8Array): number | undefined {
  return bytes.find((byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0d && byte !== 0x0a)
}

/** The words for what reading threw. A mistake of ours is no fault of the file, and is thrown on. */
export function faultText(thrown: unknown): string {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  if (!(thrown instanceof SidecarError) && typeof code === 'string')
    return SYSTEM_FAULTS.get(code) ?? `cannot be read (${code})`
  const error = asSidecarError(thrown)
  if (error.code === 'INTERNAL') throw thrown
  return error.message
}

const SYSTEM_FAULTS: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'no such file'],
  ['EISDIR', 'is a folder'],
  ['EACCES', 'may not be read'],
])
