import { expect, test } from 'vitest'
import type { HealthCheck, HealthProbe } from '../../../src/admin/options.ts'
import { admin } from './fixture.ts'

const up: HealthCheck = {
  name: 'kms',
  isUp: true,
  data: { provider: 'aws', latency_ms: 45, status: 'operational' },
}
const down: HealthCheck = {
  name: 'exporter',
  isUp: false,
  data: { error: 'next hop refuses', error_type: 'network', help_url: 'https://example.org/help' },
}
const silent: HealthProbe = () => []
const only = (probe: HealthProbe) => ({ health: { live: silent, ready: probe, started: silent } })

test('a ready sidecar answers 200 with exactly the documented shape', async () => {
  const answer = await admin(only(() => [up])).inject('/q/health/ready')
  expect(answer.statusCode).toBe(200)
  expect(answer.headers['content-type']).toBe('application/json; charset=utf-8')
  expect(answer.body).toBe(
    '{"status":"UP","checks":[{"name":"kms","status":"UP","data":{"provider":"aws","latency_ms":45,"status":"operational"}}]}',
  )
})

test('one check that is down makes the whole 503 DOWN, and the order stays', async () => {
  const answer = await admin(only(() => [up, down, { name: 'queue', isUp: true }])).inject('/q/health/ready')
  expect(answer.statusCode).toBe(503)
  const body = answer.json()
  expect(body.status).toBe('DOWN')
  expect(body.checks.map((check: { name: string }) => check.name)).toEqual(['kms', 'exporter', 'queue'])
  expect(body.checks[1]).toEqual({ name: 'exporter', status: 'DOWN', data: down.data })
  expect(body.checks[2]).toEqual({ name: 'queue', status: 'UP' })
})

test.each([
  ['/q/health/live', '/livez', 'live'],
  ['/q/health/ready', '/readyz', 'ready'],
  ['/q/health/started', '/startupz', 'started'],
])('%s and %s ask the same probe and no other', async (long, short, name) => {
  const probe =
    (own: string): HealthProbe =>
    () => [{ name: own, isUp: own !== name }]
  const server = admin({ health: { live: probe('live'), ready: probe('ready'), started: probe('started') } })
  for (const path of [long, short]) {
    const answer = await server.inject(path)
    expect(answer.statusCode).toBe(503)
    expect(answer.json().checks).toEqual([{ name, status: 'DOWN' }])
  }
})

test('/q/health joins the three and is down when one of them is', async () => {
  const answer = await admin({ health: { live: () => [up], ready: () => [down], started: () => [] } }).inject(
    '/q/health',
  )
  expect(answer.statusCode).toBe(503)
  expect(answer.json().checks).toHaveLength(2)
})

test('a probe that throws is down, and its message stays inside', async () => {
  const failing: HealthProbe = async () => {
    throw new Error('password=hunter2')
  }
  const answer = await admin(only(failing)).inject('/readyz')
  expect(answer.statusCode).toBe(503)
  expect(answer.body).not.toContain('hunter2')
  expect(answer.json().checks[0].data.error_type).toBe('internal')
})

test('a probe that hangs is down after its time, and is told to stop', async () => {
  let stopped = false
  const hanging: HealthProbe = (abort) =>
    new Promise((_, reject) => {
      abort.addEventListener('abort', () => {
        stopped = true
        reject(new Error('aborted'))
      })
    })
  const answer = await admin(only(hanging), { probeMsMax: 5 }).inject('/readyz')
  expect(answer.json().checks[0].data.error_type).toBe('timeout')
  expect(stopped).toBe(true)
})
