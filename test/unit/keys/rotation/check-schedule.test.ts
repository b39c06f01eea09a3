import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { parseCheckCron } from '../../../../src/keys/rotation/check-schedule.ts'

const MONDAY = '2026-11-23T07:00:00Z'
const APRIL = '2027-04-20T07:00:00Z'

describe('the check’s schedule', () => {
  // Wherever the process runs: this place has summer time, and is hours away from UTC.
  beforeEach(() => void vi.stubEnv('TZ', 'America/New_York'))
  afterEach(() => void vi.unstubAllEnvs())
  const nextRuns = (line: string, from: string, count: number): string[] => {
    const { nextMs } = parseCheckCron(line)
    const runs: string[] = []
    for (let ms = nextMs(Date.parse(from)); ms !== undefined && runs.length < count; ms = nextMs(ms))
      runs.push(new Date(ms).toISOString().slice(0, 16))
    return runs
  }
  const cases: [line: string, from: string, runs: string[]][] = [
    ['0 0 2 * * ?', MONDAY, ['2026-11-24T02:00', '2026-11-25T02:00', '2026-11-26T02:00', '2026-11-27T02:00']],
    [
      '  0 0  2 ? * *',
      MONDAY,
      ['2026-11-24T02:00', '2026-11-25T02:00', '2026-11-26T02:00', '2026-11-27T02:00'],
    ],
    [
      '0 0 2 ? * MON',
      MONDAY,
      ['2026-11-30T02:00', '2026-12-07T02:00', '2026-12-14T02:00', '2026-12-21T02:00'],
    ],
    ['0 0 2 ? * 2', MONDAY, ['2026-11-30T02:00', '2026-12-07T02:00', '2026-12-14T02:00', '2026-12-21T02:00']],
    ['0 0 2 ? * L', MONDAY, ['2026-11-28T02:00', '2026-12-05T02:00', '2026-12-12T02:00', '2026-12-19T02:00']],
    ['0 0 2 1 * ?', MONDAY, ['2026-12-01T02:00', '2027-01-01T02:00', '2027-02-01T02:00', '2027-03-01T02:00']],
    ['0 0 2 L * ?', MONDAY, ['2026-11-30T02:00', '2026-12-31T02:00', '2027-01-31T02:00', '2027-02-28T02:00']],
    [
      '0 0 2 ? * 2#1',
      MONDAY,
      ['2026-12-07T02:00', '2027-01-04T02:00', '2027-02-01T02:00', '2027-03-01T02:00'],
    ],
    [
      '0 0/15 2 * * ?',
      MONDAY,
      ['2026-11-24T02:00', '2026-11-24T02:15', '2026-11-24T02:30', '2026-11-24T02:45'],
    ],
    [
      '0 0 2 * * ? 2027',
      MONDAY,
      ['2027-01-01T02:00', '2027-01-02T02:00', '2027-01-03T02:00', '2027-01-04T02:00'],
    ],
    ['0 0 2 * * ? *', MONDAY, ['2026-11-24T02:00', '2026-11-25T02:00']],
    ['0 0 2 29 2 ? 2027-2033', MONDAY, ['2028-02-29T02:00', '2032-02-29T02:00']],
    // The weekday nearest to a day stays within its month: 1 May 2027 is a Saturday, 31 October a Sunday.
    ['0 0 2 1W * ?', APRIL, ['2027-05-03T02:00', '2027-06-01T02:00']],
    ['0 0 2 15W * ?', APRIL, ['2027-05-14T02:00', '2027-06-15T02:00']],
    ['0 0 2 31W 10 ?', APRIL, ['2027-10-29T02:00', '2028-10-31T02:00']],
    ['0 0 2 LW * ?', APRIL, ['2027-04-30T02:00', '2027-05-31T02:00', '2027-06-30T02:00', '2027-07-30T02:00']],
    ['0 0 2 15,L * ?', APRIL, ['2027-04-30T02:00', '2027-05-15T02:00', '2027-05-31T02:00']],
    ['0 0 2 ? * 6L', APRIL, ['2027-04-30T02:00', '2027-05-28T02:00', '2027-06-25T02:00']],
    ['0 0 2 ? * FRI#5', APRIL, ['2027-04-30T02:00', '2027-07-30T02:00']],
    ['0 0 2 ? JAN,JUL 1', APRIL, ['2027-07-04T02:00', '2027-07-11T02:00']],
    // Quartz wants exactly one `?`. Two, or none, read as every day, and two days that are named must both fit.
    ['0 0 2 ? * ?', APRIL, ['2027-04-21T02:00', '2027-04-22T02:00']],
    ['0 0 2 * * *', APRIL, ['2027-04-21T02:00', '2027-04-22T02:00']],
    ['0 0 2 15 * 2', APRIL, ['2027-11-15T02:00', '2028-05-15T02:00']],
    // 02:00 does not exist in Europe and America on these nights; it does in UTC.
    [
      '0 0 2 * * ?',
      '2027-03-13T12:00:00Z',
      ['2027-03-14T02:00', '2027-03-15T02:00', '2027-03-16T02:00', '2027-03-17T02:00'],
    ],
    [
      '0 0 2 * * ?',
      '2027-03-27T12:00:00Z',
      ['2027-03-28T02:00', '2027-03-29T02:00', '2027-03-30T02:00', '2027-03-31T02:00'],
    ],
  ]
  for (const [line, from, runs] of cases)
    test(`${line.trim()} after ${from}`, () => expect(nextRuns(line, from, runs.length)).toEqual(runs))

  for (const line of [
    '',
    '0 2 * * *',
    '0 0 25 * * ?',
    '0 0 2 31 2 ?',
    '0 0 2 * * ? 2020',
    'daily',
    '0 0 2 * * ? * *',
    '@daily',
    '? 0 2 * * ?',
    '0 0 2 * ? *',
    '0 0 2 * * ? ?',
    '0 0 2 L-3 * ?',
    '0 0 2 C * ?',
    '0 0 2 W * ?',
    '0 0 2 32W * ?',
    '0 0 2 0 * ?',
    '0 0 2 ? 13 ?',
    '0 0 2 ? * 0',
    '0 0 2 ? * 8',
    '0 0 2 ? * 2-8',
    '0 0 2 ? * 2,8#1',
    '0 0 2 ? * 8L',
    '0 0 2 ? * 2#6',
    '0 0 2 ? * FRI-MON',
    '0 0 22-2 * * ?',
  ])
    test(`${JSON.stringify(line)} is refused by the setting’s name, with an example`, () =>
      expect(() => parseCheckCron(line)).toThrow(/^kms\.rotation\.check_cron: .*0 0 2 \* \* \?.*L-3/))
})
