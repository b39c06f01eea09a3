// The alerts as they are shipped, a minute made a second, so that a test can wait for them. Expressions, thresholds and
// labels stay; only time is scaled, and the two thresholds that are times or counts per time with it.
import { stringify } from 'yaml'
import { type AlertRule, alertRules } from '../../unit/deploy/operations-files.ts'

/** Longer windows than this many seconds are cut to it. */
const WINDOW_SECONDS_MAX = 10
export const SCRAPE_INTERVAL = '500ms'
/** Of the limit that the sidecar exports, ninety days, thirty seconds are left. */
const KEY_AGE_DIVISOR = (90 * 86_400) / 30

/** Text of a rule file in which a minute takes a second and every `for` is one second. */
export function liveRules(): string {
  const rules = alertRules().map((rule) => ({ ...rule, expr: scaled(rule), for: '1s' }))
  return stringify({ groups: [{ name: 'live', rules }] })
}

function scaled({ alert, expr }: AlertRule): string {
  const live = expr
    .replaceAll(/(\[|offset )(\d+)([mh])(:15s)?/g, (_, before: string, count: string, unit: string, step) => {
      const seconds = unit === 'm' ? Number(count) : WINDOW_SECONDS_MAX
      return `${before}${seconds}s${step === undefined ? '' : `:${SCRAPE_INTERVAL}`}`
    })
    .replace('(kms_rotation_max_age_seconds)', `(kms_rotation_max_age_seconds / ${KEY_AGE_DIVISOR})`)
  // A thousand an hour, in ten seconds.
  return alert === 'KMSHighAPIUsage' ? live.replace(', 1000)', ', 20)') : live
}
