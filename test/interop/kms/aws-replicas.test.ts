// A multi-Region key and its replica on ministack, which shares their key material as AWS does. A proxy breaks one region
// at a time: the region stands in each request's signature.
import { DisableKeyCommand, EnableKeyCommand, KMSClient, ReplicateKeyCommand } from '@aws-sdk/client-kms'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { openAwsKms } from '../../../src/kms/aws/open.ts'
import type { Kms } from '../../../src/kms/kms.ts'
import { ManualClock } from '../../unit/kms/manual-clock.ts'
import { type Emulator, emulatorsMissing, startMinistack } from './aws-emulators.ts'
import { AwsAdmin, awsError, OWNER, REGION } from './aws-target.ts'
import { CONTEXT, never, roundTrip } from './expectations.ts'
import { type Fault, FaultProxy, type ProxiedRequest } from './fault-proxy.ts'

const OTHER_REGION = 'us-east-2'
const TIMEOUT_MS = 2_000

let ministack: Emulator
let proxy: FaultProxy
let admin: AwsAdmin
let primary: string
let replica: string
let kms: Kms
let clock: ManualClock
let askedRegions: string[]

function breaks(faults: Readonly<Record<string, Fault>>): void {
  askedRegions = []
  proxy.set(({ headers }: ProxiedRequest): Fault => {
    const region = /Credential=[^/]+\/\d+\/([^/]+)\//.exec(String(headers.authorization))?.[1] ?? 'none'
    askedRegions.push(region)
    return faults[region] ?? { kind: 'none' }
  })
}

describe.skipIf(emulatorsMissing !== undefined)('a multi-Region key', () => {
  beforeAll(async () => {
    ministack = await startMinistack()
    proxy = await FaultProxy.start({ upstream: ministack.url, layer: 'http' })
    admin = new AwsAdmin(() => ministack)
  }, 600_000)
  afterAll(async () => {
    admin.close()
    await proxy.close()
    await ministack.stop()
  })

  beforeEach(async () => {
    primary = await admin.createKey({ MultiRegion: true })
    await admin.client.send(new ReplicateKeyCommand({ KeyId: primary, ReplicaRegion: OTHER_REGION }))
    replica = primary.replace(REGION, OTHER_REGION)
    clock = new ManualClock()
    kms = await openAwsKms({
      masterKeyId: primary,
      region: '',
      endpoint: proxy.url,
      useFipsEndpoint: false,
      replicas: [replica],
      tenantKeyMapping: new Map(),
      request: { connectTimeoutMs: 500, timeoutMs: TIMEOUT_MS, attemptsMax: 2 },
      log: silentTelemetry().log,
      clock,
      credentials: OWNER,
    })
    breaks({})
  })
  afterEach(() => kms.close())

  test('while the primary works, the replica is not asked', async () => {
    await roundTrip(kms)
    expect(askedRegions).toEqual([REGION, REGION])
  })

  const faults: Record<string, Fault> = {
    hangs: { kind: 'hang' },
    'is reset': { kind: 'reset' },
    throttles: { kind: 'answer', answer: awsError(400, 'ThrottlingException', 'Rate exceeded') },
    'is broken': { kind: 'answer', answer: awsError(503, 'ServiceUnavailableException', 'maintenance') },
  }
  for (const [name, fault] of Object.entries(faults)) {
    test(`when the primary region ${name}, the replica serves, within one request's time`, async () => {
      breaks({ [REGION]: fault })
      const startMs = performance.now()
      const generated = await kms.generateDataKey(CONTEXT, never)
      expect(performance.now() - startMs).toBeLessThan(TIMEOUT_MS)
      expect(generated.masterKeyId).toBe(replica)
      expect(askedRegions).toEqual([REGION, REGION, OTHER_REGION])
      await roundTrip(kms)
      expect(askedRegions, 'the broken region is not asked again').toEqual([
        REGION,
        REGION,
        ...Array(3).fill(OTHER_REGION),
      ])
    })
  }

  test('a connection that the service has closed meanwhile does not change the region', async () => {
    await roundTrip(kms)
    for (let round = 0; round < 5; round++) {
      breaks({})
      expect((await kms.generateDataKey(CONTEXT, never)).masterKeyId).toBe(primary)
    }
  })

  test('what either region wrapped opens in the other', async () => {
    const atHome = await kms.generateDataKey(CONTEXT, never)
    breaks({ [REGION]: { kind: 'reset' } })
    const away = await kms.generateDataKey(CONTEXT, never)
    expect([atHome.masterKeyId, away.masterKeyId]).toEqual([primary, replica])
    const openedAway = await kms.unwrap(atHome.wrapped, atHome.masterKeyId, CONTEXT, never)
    expect(Buffer.compare(openedAway, atHome.plaintext)).toBe(0)
    breaks({ [OTHER_REGION]: { kind: 'reset' } })
    const openedAtHome = await kms.unwrap(away.wrapped, away.masterKeyId, CONTEXT, never)
    expect(Buffer.compare(openedAtHome, away.plaintext)).toBe(0)
  })

  test('a primary that comes back serves again after half a minute, found by one call', async () => {
    breaks({ [REGION]: { kind: 'reset' } })
    await kms.generateDataKey(CONTEXT, never)
    breaks({})
    expect((await kms.generateDataKey(CONTEXT, never)).masterKeyId).toBe(replica)
    clock.advance(30_000)
    expect((await kms.generateDataKey(CONTEXT, never)).masterKeyId).toBe(primary)
    expect(askedRegions).toEqual([OTHER_REGION, REGION])
  })

  test('a primary that is disabled leaves the work to its replica, and is described by it', async () => {
    await admin.client.send(new DisableKeyCommand({ KeyId: primary }))
    expect((await kms.generateDataKey(CONTEXT, never)).masterKeyId).toBe(replica)
    expect(await kms.describe(never)).toEqual({ enabled: true, masterKeyId: replica })
    const away = new KMSClient({ region: OTHER_REGION, endpoint: ministack.url, credentials: OWNER })
    await away.send(new DisableKeyCommand({ KeyId: replica }))
    expect(await kms.describe(never)).toEqual({ enabled: false, masterKeyId: primary })
    await expect(kms.generateDataKey(CONTEXT, never)).rejects.toMatchObject({ kmsClass: 'key_disabled' })
    await away.send(new EnableKeyCommand({ KeyId: replica }))
    expect((await kms.generateDataKey(CONTEXT, never)).masterKeyId).toBe(replica)
    away.destroy()
  })

  test('with every region out of reach, the failure is one that may pass', async () => {
    breaks({ [REGION]: { kind: 'reset' }, [OTHER_REGION]: { kind: 'reset' } })
    await expect(kms.generateDataKey(CONTEXT, never)).rejects.toMatchObject({
      kmsClass: 'network',
      isRetryable: true,
    })
    expect(askedRegions).toEqual([REGION, REGION, OTHER_REGION, OTHER_REGION])
  })

  test('a wrong context is refused once, and not tried in another region', async () => {
    const { wrapped, masterKeyId } = await kms.generateDataKey(CONTEXT, never)
    breaks({})
    expect(masterKeyId).toBe(primary)
    const wrong = { ...CONTEXT, tenantId: 'other' }
    await expect(kms.unwrap(wrapped, masterKeyId, wrong, never)).rejects.toMatchObject({
      kmsClass: 'invalid_ciphertext',
    })
    expect(askedRegions).toEqual([REGION])
  })
})
