// What a sidecar ever signed, shown to it again: after rotations, restarts and a change of the algorithm.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { startSidecar, type TestSidecar } from './sidecar.ts'

const AUTHORIZED = { authorization: 'Bearer test-admin-token', 'content-type': 'application/json' }
const ED25519 = 'processors.signing.algorithm=ed25519-merkle-v1'
const HMAC = 'processors.signing.algorithm=hmac-sha256'
/** A coverage of its own: a MAC is checked under the configured one, since the span does not carry it. */
const COVERAGE = [
  'processors.signing.mutable=[retry.*]',
  'processors.signing.resource_attributes=[host.name]',
]

let running: TestSidecar | undefined
afterEach(async () => {
  await running?.stop()
  running?.remove()
  running = undefined
})

async function start(sets: readonly string[]): Promise<TestSidecar> {
  const folder = running?.folder
  await running?.stop()
  running = await startSidecar(['processors.signing.select=all', ...sets], folder)
  return running
}

const outputs = ({ folder }: TestSidecar): string[] =>
  readFileSync(join(folder, 'out.jsonl'), 'utf8').trim().split('\n')

/** One signed span of each tenant goes out. */
async function sign(sidecar: TestSidecar, tenants: readonly string[]): Promise<void> {
  for (const tenant of tenants) {
    const exported = await sidecar.metric('betrace_items_exported_total', 'traces')
    const span = {
      traceId: 'ab'.repeat(16),
      spanId: 'cd'.repeat(8),
      name: 'visit',
      attributes: [{ key: 'retry.count', value: { intValue: '1' } }],
    }
    const resource = { attributes: [{ key: 'host.name', value: { stringValue: 'a' } }] }
    const body = JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans: [span] }] }] })
    const headers = { 'x-betrace-tenant': tenant }
    expect((await sidecar.post('/v1/traces', body, 'application/json', headers)).status).toBe(200)
    await sidecar.until(
      'exported',
      async () => (await sidecar.metric('betrace_items_exported_total', 'traces')) > exported,
    )
  }
}

async function rotate(sidecar: TestSidecar): Promise<void> {
  const url = '/api/admin/kms/rotate-all-keys'
  const body = JSON.stringify({ force: true, stagger_ms: 0 })
  expect((await sidecar.get(url, { method: 'POST', headers: AUTHORIZED, body })).status).toBe(202)
  await sidecar.until('rotated', async () => {
    const status = await sidecar.get('/api/admin/kms/rotation-status', { headers: AUTHORIZED })
    return ((await status.json()) as { status: string }).status === 'IDLE' // the route's own answer
  })
}

async function verdicts(sidecar: TestSidecar, lines = outputs(sidecar)): Promise<string[]> {
  const found: string[] = []
  for (const body of lines) {
    const answer = await sidecar.get('/api/compliance/verify/span', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
    const verified = (await answer.json()) as { spans: { verdict: string }[] } // the route's own answer
    found.push(...verified.spans.map(({ verdict }) => verdict))
  }
  return found
}

describe('every signature ever made verifies', () => {
  for (const [name, algorithm] of [
    ['ed25519-merkle-v1', ED25519],
    ['hmac-sha256', HMAC],
  ] as const) {
    test(`${name}: after three rotations of two tenants, and after a restart`, async () => {
      let sidecar = await start([algorithm, ...COVERAGE])
      for (let rotation = 0; rotation < 3; rotation++) {
        await sign(sidecar, ['acme', 'clinic'])
        await rotate(sidecar)
      }
      await sign(sidecar, ['acme', 'clinic'])
      expect(outputs(sidecar)).toHaveLength(8)
      expect(await verdicts(sidecar)).toEqual(Array(8).fill('valid'))
      sidecar = await start([algorithm, ...COVERAGE])
      expect(await verdicts(sidecar)).toEqual(Array(8).fill('valid'))
      const changed = outputs(sidecar).map((line) => line.replace('visit', 'vizit'))
      expect(await verdicts(sidecar, changed)).toEqual(Array(8).fill('tampered'))
    })
  }

  test('after the algorithm was changed, either way', async () => {
    let sidecar = await start([ED25519])
    await sign(sidecar, ['acme'])
    sidecar = await start([HMAC])
    await sign(sidecar, ['acme'])
    expect(await verdicts(sidecar)).toEqual(['valid', 'valid'])
    sidecar = await start([ED25519])
    expect(await verdicts(sidecar)).toEqual(['valid', 'valid'])
  })
})
