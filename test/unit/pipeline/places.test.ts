// When a request takes places for its tenants, and when keys are asked for: never before it was read to its end.
import { expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import { makePipeline, spanRequest } from './pipeline-fixture.ts'

const PERSONAL = { 'user.email': 'ann@example.org', 'compliance.evidence': 'true' }

test('one that is malformed enters nobody', async () => {
  const { answer, steps, tenants } = makePipeline()
  expect(await answer(spanRequest(PERSONAL).subarray(0, -1))).toBe('MALFORMED')
  expect([steps, tenants.tenantCount]).toEqual([['leave  false'], 1])
})

test('one without items keeps no place for whom it names', async () => {
  const { answer, steps, tenants } = makePipeline()
  expect(await answer(spanRequest({}, 'acme', 0))).toBe('OK 0 0')
  expect([steps, tenants.tenantCount]).toEqual([['leave  true'], 1])
})

test('keys are asked for when it has its places, each kind after its own leave to do so', async () => {
  const { answer, steps, tenants } = makePipeline()
  expect(await answer(spanRequest(PERSONAL))).toBe('OK 1 0')
  expect(steps).toEqual([
    'enter',
    'may load',
    'load encryption',
    'may load',
    'load signing',
    'leave acme true',
  ])
  expect(tenants.tenantCount).toBe(2)
})

test('one that is refused after that keeps no place', async () => {
  const { answer, steps, tenants } = makePipeline({
    hasKeys: true,
    deliver: () => Promise.reject(new SidecarError('STORE_FAILED', 'disk is full')),
  })
  expect(await answer(spanRequest(PERSONAL))).toBe('STORE_FAILED')
  expect([steps, tenants.tenantCount]).toEqual([['enter', 'leave acme false'], 1])
})
