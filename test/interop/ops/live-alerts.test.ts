// Alerts made to fire and to resolve: a real Prometheus scrapes a real sidecar while its surroundings fail.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { emulatorsMissing } from '../kms/aws-emulators.ts'
import { awsError } from '../kms/aws-target.ts'
import { until } from '../service-process.ts'
import { LiveSetup } from './live-setup.ts'
import { findPrometheus } from './tools.ts'

const ALERT_MS_MAX = 60_000
const prometheus = await findPrometheus()

describe.skipIf(prometheus === undefined || emulatorsMissing !== undefined)('alerts', () => {
  let live: LiveSetup

  beforeAll(async () => {
    live = await LiveSetup.start(prometheus!.prometheus)
  })

  afterAll(async () => {
    await live?.stop()
  })

  beforeEach(() => {
    live.kms.set({ kind: 'none' })
    live.nextHopStatus = 200
    live.load = 'steady'
  })

  /** All of them at one moment, so that none is taken for the other's shadow. */
  async function fire(names: readonly string[]): Promise<void> {
    await expectSoon(`${names.join(', ')} fire`, (firing) => names.every((name) => firing.has(name)))
  }

  async function resolve(names: readonly string[]): Promise<void> {
    await expectSoon(`${names.join(', ')} resolve`, (firing) => !names.some((name) => firing.has(name)))
  }

  async function expectSoon(claim: string, holds: (firing: Set<string>) => boolean): Promise<void> {
    let firing = new Set<string>()
    await until(
      claim,
      async () => {
        firing = await live.firing()
        return holds(firing)
      },
      ALERT_MS_MAX,
    ).catch((error: Error) => {
      throw new Error(`${error.message}; firing: ${[...firing].join(', ')}\n${live.output}`)
    })
  }

  test('none fires while everything works', async () => {
    await resolve(['BetraceSidecarDown'])
    await sleep(5_000)
    // Keys of seconds are old for rules in which a minute takes one.
    expect([...(await live.firing())].filter((name) => name !== 'KMSKeyRotationOverdue')).toEqual([])
  })

  // Before the load makes hundreds of tenants, each of which would have to be rotated.
  test('keys that are too old, and a rotation that fails', async () => {
    const rotate = (): Promise<Response> => live.admin('kms/rotate-all-keys', { force: true, stagger_ms: 0 })
    await fire(['KMSKeyRotationOverdue'])
    live.kms.set({ kind: 'answer', answer: awsError(400, 'DisabledException', 'key is disabled') })
    expect((await rotate()).status).toBe(202)
    await fire(['KMSKeyRotationFailing', 'KMSKeyRotationOverdue'])
    live.kms.set({ kind: 'none' })
    await resolve(['KMSKeyRotationFailing', 'KMSCircuitBreakerOpen'])
    expect((await rotate()).status).toBe(202)
    await resolve(['KMSKeyRotationOverdue'])
  })

  test('a slow key service, and more tenants than the caches have room for', async () => {
    const names = ['KMSHighLatency', 'KMSCacheHitRateLow', 'KMSHighAPIUsage']
    live.kms.set({ kind: 'latency', ms: 150 })
    live.load = 'new tenants'
    await fire(names)
    live.kms.set({ kind: 'none' })
    live.load = 'steady'
    await resolve(names)
  })

  test('a key service that denies', async () => {
    const names = [
      'KMSOperationFailures',
      'KMSCircuitBreakerOpen',
      'BetraceSigningFailing',
      'BetraceSpansRefused',
    ]
    live.kms.set({
      kind: 'answer',
      answer: awsError(400, 'AccessDeniedException', 'not authorized to perform: kms:GenerateDataKey'),
    })
    live.load = 'new tenants'
    await fire(names)
    live.kms.set({ kind: 'none' })
    live.load = 'steady'
    await resolve(names)
  })

  test('wrapped keys that do not open', async () => {
    live.kms.set({ kind: 'answer', answer: awsError(400, 'InvalidCiphertextException', '') })
    live.load = 'new tenants'
    await fire(['KMSInvalidCiphertext'])
    expect(await live.firing()).not.toContain('KMSOperationFailures')
    live.kms.set({ kind: 'none' })
    live.load = 'steady'
    await resolve(['KMSInvalidCiphertext', 'BetraceSigningFailing', 'BetraceSpansRefused'])
  })

  test('clients that send what nobody can read', async () => {
    live.load = 'malformed'
    await fire(['BetraceRequestsInvalid'])
    expect(await live.firing()).not.toContain('BetraceSpansRefused')
    live.load = 'steady'
    await resolve(['BetraceRequestsInvalid'])
  })

  test('a next hop that is down', async () => {
    live.nextHopStatus = 503
    live.load = 'large'
    await fire(['BetraceExporterFailing', 'BetraceQueueFilling', 'BetraceQueueFull'])
    live.nextHopStatus = 200
    live.load = 'steady'
    await resolve([
      'BetraceExporterFailing',
      'BetraceQueueFilling',
      'BetraceQueueFull',
      'BetraceSpansRefused',
    ])
  })

  test('a next hop that refuses for good', async () => {
    live.nextHopStatus = 400
    await fire(['BetraceItemsDropped'])
    live.nextHopStatus = 200
    await resolve(['BetraceItemsDropped'])
  })

  test('a sidecar that is not there', async () => {
    await live.stopSidecar()
    await fire(['BetraceSidecarDown'])
    await live.startSidecar()
    await resolve(['BetraceSidecarDown'])
  })
})
