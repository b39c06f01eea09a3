// Text forms of amounts. A number without its unit is refused: `timeout: 10` has been ten seconds to one reader and
// ten milliseconds to the next.

const DURATION_MS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
])

const SIZE_BYTES: ReadonlyMap<string, number> = new Map([
  ['B', 1],
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
  ['KB', 1_000],
  ['MB', 1_000_000],
  ['GB', 1_000_000_000],
])

const DURATION = /^(?:\d{1,9}(?:\.\d{1,3})?(?:ms|s|m|h))+$/
const DURATION_PART = /(\d+(?:\.\d+)?)(ms|s|m|h)/g
const SIZE = /^(\d{1,12})\s?(B|KiB|MiB|GiB|KB|MB|GB)$/

/** Milliseconds of `500ms`, `8s`, `60m`, `24h`, `1h30m`; `undefined` when it is none. */
export function parseDuration(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined
  let totalMs = 0
  for (const part of text.matchAll(DURATION_PART)) totalMs += Number(part[1]) * DURATION_MS.get(part[2]!)!
  return Math.round(totalMs)
}

/** Bytes of `512KiB`, `1024MiB`, `1GiB`, `500MB`; `undefined` when it is none. */
export function parseSize(text: string): number | undefined {
  const match = SIZE.exec(text)
  if (!match) return undefined
  const bytes = Number(match[1]) * SIZE_BYTES.get(match[2]!)!
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** As `parseDuration` reads it, in the unit that people would write. */
export function formatDuration(ms: number): string {
  if (ms % 1_000 !== 0) return `${ms}ms`
  if (ms === 0 || ms % 60_000 !== 0) return `${ms / 1_000}s`
  return ms % 3_600_000 === 0 && ms > 3_600_000 ? `${ms / 3_600_000}h` : `${ms / 60_000}m`
}

/** As `parseSize` reads it. */
export function formatSize(bytes: number): string {
  const mib = bytes / 1024 ** 2
  return Number.isInteger(mib) ? `${mib}MiB` : `${bytes}B`
}
