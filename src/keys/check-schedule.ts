// When to look for keys that are too old: a cron line in Quartz's form, read in UTC, so that no day has the hour twice or
// not at all and replicas in different places agree. croner finds the times; waiting for them is rotation.ts's.
import { Cron } from 'croner'
import { SidecarError } from '../errors.ts'

export interface CheckSchedule {
  /** The first time after `ms`, both milliseconds since the epoch; `undefined`: there is none any more. */
  nextMs(ms: number): number | undefined
}

const DAY_OF_WEEK = ['seconds', 'minutes', 'hours', 'day of month', 'month', 'day of week'].length - 1
const SATURDAY = '7'

/** Throws CONFIG for what is no such line, or one that never comes. */
export function parseCheckCron(text: string): CheckSchedule {
  const fields = text.trim().split(/\s+/)
  try {
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
    'kms.rotation.check_cron: must be six or seven Quartz fields, seconds first, that some day fits, such as 0 0 2 * * ? for 02:00 UTC',
    { cause },
  )
