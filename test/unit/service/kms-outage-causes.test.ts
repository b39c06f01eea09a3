// What the runbook says still works, row by row, under a whole sidecar: per cause, and per age of a tenant's keys.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { type Clock, systemClock } from '../../../src/base/clock.ts'
import { KeyCache } from '../../../src/keys/cache.ts'
import { KEYS_DEFAULTS } from '../../../src/keys/keys-options.ts'
import { type KmsClass, KmsError } from '../../../src/kms/kms.ts'
import { ROOT } from '../deploy/operations-files.ts'
import { DoorKms } from '../kms/key-service.ts'
import { ManualClock } from '../kms/manual-clock.ts'
import { startSidecar, type TestSidecar } from './sidecar.ts'

const PAGE = readFileSync(join(ROOT, 'docs/runbooks/kms-provider-failure.md'), 'utf8')
const ALERTS = readFileSync(join(ROOT, 'deploy/prometheus/betrace-alerts.yaml'), 'utf8')
const ALERT_SAYS = {
  network:
    'Throttled, unreachable or hung: tenants that write are served from cached keys for 21 to 75 minutes',
  access_denied: 'Denied, disabled or not found: 6 to 60 minutes',
}
const MINUTE_MS = 60_000
const WAIT_MS = 800
const TENANTS = ['young', 'due', 'old', 'older', 'none'] as const

type Tenant = (typeof TENANTS)[number]
type Says = 'served' | 'refused after `wait_max`' | 'refused at once'

const FAILURES: Readonly<Record<string, KmsClass | 'hangs'>> = {
  throttled: 'throttled',
  unreachable: 'network',
  hung: 'hangs',
  denied: 'access_denied',
  disabled: 'key_disabled',
  'not found': 'key_not_found',
}

/** The page's table: cause → what it says of keys of these ages. */
function rows(): Map<string, readonly [young: string, old: string, none: string]> {
  const [, table = ''] = /\| cause \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)/.exec(PAGE) ?? []
  return new Map(
    table
      .trim()
      .split('\n')
      .map((line) => {
        const [cause = '', young = '', old = '', none = ''] = line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim())
        return [cause, [young, old, none]]
      }),
  )
}

let running: TestSidecar | undefined

afterEach(async () => {
  await running?.stop()
  running?.remove()
  running = undefined
})

const body = JSON.stringify({
  resourceSpans: [
    {
      scopeSpans: [
        {
          spans: [
            {
              traceId: '0123456789abcdef0123456789abcdef',
              spanId: '00000000000000a1',
              name: 'GET /visits',
              attributes: [{ key: 'user.email', value: { stringValue: 'canary@clinic.example' } }],
            },
          ],
        },
      ],
    },
  ],
})

/** What a tenant's request hears, in the page's words. */
async function hear(sidecar: TestSidecar, tenant: Tenant): Promise<Says> {
  const startMs = performance.now()
  const { status } = await sidecar.post('/v1/traces', body, 'application/json', {
    'x-betrace-tenant': tenant,
  })
  const waitedMs = performance.now() - startMs
  if (status === 200) return 'served'
  expect(status).toBe(503)
  return waitedMs < WAIT_MS ? 'refused at once' : 'refused after `wait_max`'
}

/** A sidecar at minute 80, whose tenants wrote once: 30, 55, 65 and 80 minutes ago. One never did. */
async function startWithKeys(): Promise<{ sidecar: TestSidecar; door: DoorKms }> {
  let minutes = 0
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + minutes * MINUTE_MS,
  }
  const door = await DoorKms.open()
  const sets = ['processors.signing.select=all', `service.limits.wait_max=${WAIT_MS}ms`]
  const sidecar = await startSidecar(sets, undefined, { openKms: async () => door, clock })
  running = sidecar
  for (const [tenant, atMinute] of [
    ['older', 0],
    ['old', 15],
    ['due', 25],
    ['young', 50],
  ] as const) {
    minutes = atMinute
    expect(await hear(sidecar, tenant)).toBe('served')
  }
  minutes = 80
  return { sidecar, door }
}

test('the page has a row for each cause', () => {
  expect([...rows().keys()]).toEqual(Object.keys(FAILURES))
})

describe.each([...rows()])('%s', (cause, [young, old, none]) => {
  test(`keys under 60 minutes: ${young}; 60 to 75: ${old}; older or none: ${none}`, async () => {
    const { sidecar, door } = await startWithKeys()
    const failure = FAILURES[cause]!
    if (failure === 'hangs') door.gate = new Promise(() => {})
    else door.fail(failure)
    const expected = { young, due: young, old, older: none, none }
    for (let round = 0; round < 3; round++) {
      const heard = await Promise.all(
        TENANTS.map(async (tenant) => [tenant, await hear(sidecar, tenant)] as const),
      )
      expect(Object.fromEntries(heard)).toEqual(expected)
    }
    // What many tenants without keys do to the breakers changes nothing for those who have some.
    const strangers = Array.from({ length: 30 }, (_, index) =>
      sidecar.post('/v1/traces', body, 'application/json', { 'x-betrace-tenant': `stranger-${index}` }),
    )
    await Promise.all(strangers)
    for (const tenant of ['young', 'due', 'old'] as const)
      expect(await hear(sidecar, tenant), tenant).toBe(expected[tenant])
  })
})

describe('how long a tenant that writes is served, from the beginning of the cause', () => {
  /** In minutes, for a tenant that asks every half minute and whose key has this age then. */
  async function minutesServed(kmsClass: KmsClass, ageMinutes: number, random: number): Promise<number> {
    const clock = new ManualClock()
    const state = { failure: undefined as KmsError | undefined }
    const cache = new KeyCache({
      ...KEYS_DEFAULTS,
      ttlMs: KEYS_DEFAULTS.encryptionKeyTtlMs,
      clock,
      random: () => random,
      load: async () => {
        if (state.failure) throw state.failure
        return 'key'
      },
    })
    const signal = new AbortController().signal
    await cache.load('acme', signal)
    clock.advance(ageMinutes * MINUTE_MS)
    state.failure = new KmsError(kmsClass, 'test', 'told to fail')
    for (let minutes = 0; ; minutes += 0.5) {
      const value = await cache.load('acme', signal).catch(() => undefined)
      if (value === undefined) return minutes
      clock.advance(MINUTE_MS / 2)
    }
  }

  test.each([
    ['throttled, unreachable, hung', 'network'],
    ['denied, disabled, not found', 'access_denied'],
  ] as const)('%s: as the page says', async (causes, kmsClass) => {
    expect(ALERTS.replaceAll(/\s+/g, ' ')).toContain(ALERT_SAYS[kmsClass])
    const said = new RegExp(`${causes}: (\\d+) to (\\d+) minutes`).exec(PAGE.replaceAll(/\s+/g, ' '))
    const served: number[] = []
    for (const random of [0, 0.5, 0.9999]) {
      const renewedAtMinutes = 60 * (0.75 + 0.15 * random)
      for (const age of [0, 20, renewedAtMinutes - 0.01])
        served.push(await minutesServed(kmsClass, age, random))
    }
    expect([Math.min(...served), Math.max(...served)].map(Math.floor)).toEqual([
      Number(said?.[1]),
      Number(said?.[2]),
    ])
  })
})
