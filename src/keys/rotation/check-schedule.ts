// When to look for keys that are too old: a cron line in Quartz's form, read in UTC, so that no day has the hour twice or
// not at all and replicas in different places agree. croner finds the times; waiting for them is rotation.ts's.
import { Cron } from 'croner'
import { SidecarError } from '../../base/errors.ts'

export interface CheckSchedule {
  /** The first time after `ms`, both milliseconds since the epoch; `undefined`: there is none any more. */
  nextMs(ms: number): number | undefined
}

const DAY_OF_MONTH = 3
const DAY_OF_WEEK = 5
const SATURDAY = '7'
/** Days are 1 to 7, and croner takes 8 for one. A count of days, after a slash, is no day. */
const DAY_AFTER_SATURDAY = /(?<![/#\d])8/

/** Throws CONFIG for what is no such line, or one that never comes. */
export function parseCheckCron(text: string): CheckSchedule {
  const fields = text.trim().split(/\s+/)
  try {
    const isOpen = fields.map((field) => field.includes('?'))
    // croner reads `?` anywhere as `*`: in the first field, that would be a check every second.
    if (isOpen.some((open, index) => open && index !== DAY_OF_MONTH && index !== DAY_OF_WEEK))
      throw malformed()
    if (DAY_AFTER_SATURDAY.test(fields[DAY_OF_WEEK] ?? '')) throw malformed()
    // Quartz: six or seven fields, days of the week from 1 (Sunday) and `L` there for Saturday, `a/b` for "from a, every b".
    const pattern = fields.map((field, index) =>
      index === DAY_OF_WEEK && field.toUpperCase() === 'L' ? SATURDAY : field,
    )
    const cron = new Cron(pattern.join(' '), {
      paused: true,
      // UTC as an offset: as a time zone it loads the zone tables, 20 ms of a start, and finds the same times.
      utcOffset: 0,
      mode: '6-or-7-parts',
      alternativeWeekdays: true,
      sloppyRanges: true,
      // Quartz leaves one of the two day fields open; where neither is, both must fit.
      domAndDow: true,
    })
    if (cron.nextRun() === null) throw malformed()
    return { nextMs: (ms) => cron.nextRun(new Date(ms))?.getTime() }
  } catch (cause) {
    throw cause instanceof SidecarError ? cause : malformed(cause)
  }
}

const malformed = (cause?: unknown): SidecarError =>
  new SidecarError(
    'CONFIG',
    'kms.rotation.check_cron: must be six or seven Quartz fields, seconds first, that some day fits, such as 0 0 2 * * ? for 02:00 UTC; L, LW, 15W, 6L and 6#2 are known, L-3 and ranges that wrap around are not',
    { cause },
  )
