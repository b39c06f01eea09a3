// When a request takes places for its tenants, and when keys are asked for: never before it was read to its end.
import { expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { SidecarError } from '../../../src/base/errors.ts'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { ItemAccounts } from '../../../src/pipeline/accounts.ts'
import { FaultReport } from '../../../src/pipeline/fault-report.ts'
import { PipelineMetrics } from '../../../src/pipeline/metrics.ts'
import { Pipeline, type PipelineParts } from '../../../src/pipeline/pipeline.ts'
import { KeyResolver, type TenantKeySource } from '../../../src/pipeline/request-keys.ts'
import { TenantResolver, tenantDefaults } from '../../../src/pipeline/tenant.ts'

/** A pipeline whose stages say what happened, in order. */
function make(parts: Partial<PipelineParts>) {
  const steps: string[] = []
  const telemetry = silentTelemetry()
  const { registry } = telemetry
  const resolver = new TenantResolver(tenantDefaults)
  const keys = {
    sealer: () => undefined,
    pseudonymizer: () => undefined,
    signingKey: () => undefined,
    startWait: () => () => undefined,
    loadSealer: async () => {
      steps.push('load')
      return { seal: () => [] }
    },
    loadSigningKey: async () => {
      steps.push('load signing')
      return { keyId: 'k' }
    },
    // Only what the desk calls here; the keys themselves are looked at by nobody.
  } as unknown as TenantKeySource
  const startWaiting = () => () => undefined
  const clock = systemClock
  const pipeline = new Pipeline({
    clock,
    desk: new KeyResolver({ keys, clock, onKmsFailure: 'refuse', startWaiting }),
    delivery: { room: () => undefined, deliver: async () => undefined },
    accounts: new ItemAccounts(registry),
    metrics: new PipelineMetrics(registry),
    faultReport: new FaultReport({ ...telemetry, clock }),
    prepare: () => undefined,
    tenantsOf: () => ({ groups: ['acme'], different: ['acme'] }),
    places: {
      enter: (tenants) => {
        steps.push('enter')
        resolver.enter(tenants)
      },
      mayLoad: (tenants) => {
        steps.push('may load')
        resolver.mayLoad(tenants)
      },
      leave: (tenants, isAccepted) => {
        steps.push(`leave ${tenants.join()} ${isAccepted}`)
        resolver.leave(tenants, isAccepted)
      },
    },
    countItems: () => slicesOf(1),
    redact: (_signal, body) => ({ body, itemCount: 1, missing: [] }),
    redactInSlices: (_signal, body) => slicesOf({ body, itemCount: 1, missing: [] }),
    findSpans: () => slicesOf(undefined),
    sign: (_signal, body) => ({ body, statements: [], refs: new Uint8Array(0), missing: [] }),
    ...parts,
  })
  const accept = pipeline.acceptFrom(() => undefined)
  const send = async (): Promise<string> => {
    const deadlineMs = clock.monotonicMs() + 1_000
    const { signal: abort } = new AbortController()
    try {
      await accept({ signal: 'traces', body: Uint8Array.of(1), tenant: undefined, deadlineMs, abort })
      return 'OK'
    } catch (error) {
      return error instanceof SidecarError ? error.code : String(error)
    }
  }
  return { send, steps, resolver }
}

function* slicesOf<Result>(result: Result): Generator<void, Result> {
  yield
  return result
}

test('one that is malformed enters nobody', async () => {
  const { send, steps, resolver } = make({
    redact: () => {
      throw new SidecarError('MALFORMED', 'attribute overruns its span')
    },
  })
  expect(await send()).toBe('MALFORMED')
  expect([steps, resolver.tenantCount]).toEqual([['leave  false'], 1])
})

test('one without items keeps no place for whom it names', async () => {
  const { send, steps, resolver } = make({ redact: (_signal, body) => ({ body, itemCount: 0, missing: [] }) })
  expect(await send()).toBe('OK')
  expect([steps, resolver.tenantCount]).toEqual([['leave  true'], 1])
})

test('keys are asked for when it has its places, each kind after its own leave to do so', async () => {
  let redacted = 0
  let signed = 0
  const { send, steps, resolver } = make({
    redact: (_signal, body) => ({
      body,
      itemCount: 1,
      missing: redacted++ === 0 ? [{ tenant: 'acme', key: 'encryption' }] : [],
    }),
    sign: (_signal, body) => ({
      body,
      statements: [],
      refs: new Uint8Array(0),
      missing: signed++ === 0 ? ['acme'] : [],
    }),
  })
  expect(await send()).toBe('OK')
  expect(steps).toEqual(['enter', 'may load', 'load', 'may load', 'load signing', 'leave acme true'])
  expect(resolver.tenantCount).toBe(2)
})

test('one that is refused after that keeps no place', async () => {
  const { send, steps, resolver } = make({
    delivery: {
      room: () => undefined,
      deliver: () => Promise.reject(new SidecarError('STORE_FAILED', 'disk is full')),
    },
  })
  expect(await send()).toBe('STORE_FAILED')
  expect([steps, resolver.tenantCount]).toEqual([['enter', 'leave acme false'], 1])
})
