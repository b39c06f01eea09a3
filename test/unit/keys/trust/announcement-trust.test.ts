// What other sidecars' announcements, real and forged, may cost this one.
import { afterEach, describe, expect, test } from 'vitest'
import { type Clock, systemClock } from '../../../../src/base/clock.ts'
import { announcementKey } from '../../../../src/formats/announcement.ts'
import { SealingKey } from '../../../../src/keys/data/sealing-key.ts'
import type { KmsError } from '../../../../src/kms/kms.ts'
import { DoorKms } from '../../kms/key-service.ts'
import { startSidecar, type TestSidecar } from '../../service/sidecar.ts'

const running: TestSidecar[] = []
afterEach(async () => {
  for (const sidecar of running.splice(0)) {
    await sidecar.stop()
    sidecar.remove()
  }
})

async function start(
  sets: readonly string[] = [],
  clock: Clock = systemClock,
): Promise<{ sidecar: TestSidecar; door: DoorKms }> {
  const door = await DoorKms.open()
  const sidecar = await startSidecar(sets, undefined, { openKms: async () => door, clock })
  running.push(sidecar)
  await sidecar.until('the first readiness check', () => door.count('describe_key') === 1)
  return { sidecar, door }
}

/** As another sidecar under the same key service would make it. */
async function announced(door: DoorKms, tenant: string): Promise<readonly [key: string, text: string]> {
  const made = await SealingKey.generate(
    door,
    {
      tenant,
      dataClasses: ['email'],
      idsBound: true,
      padded: false,
      tenantSecret: undefined,
      nowMs: Date.now(),
    },
    new AbortController().signal,
  )
  return [made.announcementKey, made.announcement]
}

/** The same with one byte of the wrapped key changed, under the name that its text has. */
async function forged(door: DoorKms, tenant: string): Promise<readonly [key: string, text: string]> {
  const [, text] = await announced(door, tenant)
  const parsed = JSON.parse(text) as { wrappedKey: string }
  const wrapped = Buffer.from(parsed.wrappedKey, 'base64url')
  wrapped[wrapped.length - 1]! ^= 1
  const changed = JSON.stringify({ ...parsed, wrappedKey: wrapped.toString('base64url') })
  return [announcementKey(changed), changed]
}

function request(announcements: readonly (readonly [string, string])[]): string {
  const attributes = announcements.map(([key, stringValue]) => ({ key, value: { stringValue } }))
  const span = { traceId: '01'.repeat(16), spanId: '02'.repeat(8), name: 'GET /' }
  return JSON.stringify({ resourceSpans: [{ resource: { attributes }, scopeSpans: [{ spans: [span] }] }] })
}

const personal = request([]).replace('GET /', 'mail bob@clinic.example')
const send = (sidecar: TestSidecar, body: string) => sidecar.post('/v1/traces', body, 'application/json')
const removed = (sidecar: TestSidecar) => sidecar.metric('betrace_redaction_forged_attributes_total')

describe('announcements of others', () => {
  test('are asked about once, however many requests bring them at the same time, and counted as calls', async () => {
    const { sidecar, door } = await start()
    const body = request([await announced(door, 'acme')])
    const before = await sidecar.metric('kms_requests_total', 'decrypt')
    let open = (): void => {}
    door.gate = new Promise((resolve) => {
      open = resolve
    })
    const answers = Promise.all(Array.from({ length: 50 }, () => send(sidecar, body)))
    await sidecar.until('the first call', () => door.count('decrypt') > 0)
    open()
    expect((await answers).map(({ status }) => status)).toEqual(Array(50).fill(200))
    expect(door.count('decrypt')).toBe(1)
    expect(await sidecar.metric('kms_requests_total', 'decrypt')).toBe(before + 1)
    expect(await removed(sidecar)).toBe(0)
  })

  test('are asked about once in a request that brings them with every resource', async () => {
    const { sidecar, door } = await start()
    const [key, stringValue] = await announced(door, 'acme')
    const resource = { attributes: [{ key, value: { stringValue } }] }
    const span = { traceId: '01'.repeat(16), spanId: '02'.repeat(8), name: 'GET /' }
    const resourceSpans = Array(40).fill({ resource, scopeSpans: [{ spans: [span] }] })
    expect((await send(sidecar, JSON.stringify({ resourceSpans }))).status).toBe(200)
    expect(door.count('decrypt')).toBe(1)
  })

  test('of another kind of key service cost no call, and are removed', async () => {
    const { sidecar, door } = await start()
    const [, text] = await announced(door, 'acme')
    const foreign = text.replace('"provider":"local"', '"provider":"aws"')
    expect((await send(sidecar, request([[announcementKey(foreign), foreign]]))).status).toBe(200)
    expect(door.count('decrypt')).toBe(0)
    expect(await removed(sidecar)).toBe(1)
  })

  test('of a tenant that none can be cost no call, and are removed', async () => {
    const { sidecar, door } = await start()
    const [, text] = await announced(door, 'acme')
    const odd = text.replace('"tenantId":"acme"', '"tenantId":"ac\\u0000me"')
    expect((await send(sidecar, request([[announcementKey(odd), odd]]))).status).toBe(200)
    expect(door.count('decrypt')).toBe(0)
    expect(await removed(sidecar)).toBe(1)
  })

  test('are not pushed out by any number of forgeries, which cost nothing to make', async () => {
    const { sidecar, door } = await start()
    const real = request([await announced(door, 'acme')])
    expect((await send(sidecar, real)).status).toBe(200)
    const forgeries = Array.from({ length: 12_000 }, (_, index) => [`betrace.key.${index}`, '{}'] as const)
    for (let sent = 0; sent < forgeries.length; sent += 4_000)
      expect((await send(sidecar, request(forgeries.slice(sent, sent + 4_000)))).status).toBe(200)
    expect((await send(sidecar, real)).status).toBe(200)
    expect(door.count('decrypt')).toBe(1)
    expect(await removed(sidecar)).toBe(12_000)
  })

  test('that are forged are asked about until the answer has come twice, never again, and do not trip the breaker of sealing', async () => {
    const { sidecar, door } = await start()
    const forgeries = await Promise.all(Array.from({ length: 40 }, (_, index) => forged(door, `t${index}`)))
    for (let round = 0; round < 3; round++) expect((await send(sidecar, request(forgeries))).status).toBe(200)
    expect(door.count('decrypt')).toBe(80)
    expect(await removed(sidecar)).toBe(120)
    expect(await sidecar.metric('circuit_breaker_state')).toBe(0)
    // A refusal is the answer to a stranger's question: it pages nobody and fills no log.
    expect(await sidecar.metric('kms_errors_total')).toBe(0)
    expect(sidecar.log()).not.toContain('"level":"ERROR"')
    expect((await send(sidecar, request([]))).status).toBe(200)
  })

  test('are not removed for one wrong answer of the key service', async () => {
    const { sidecar, door } = await start()
    const real = request([await announced(door, 'acme')])
    door.fail('invalid_ciphertext', 'decrypt', 1)
    expect((await send(sidecar, real)).status).toBe(200)
    expect(door.count('decrypt')).toBe(2)
    expect(await removed(sidecar)).toBe(0)
  })

  test('under keys that we may not use neither trip the breaker of sealing nor block anybody', async () => {
    const { sidecar, door } = await start()
    const theirs = await Promise.all(Array.from({ length: 40 }, (_, index) => announced(door, `t${index}`)))
    door.fail('access_denied')
    expect((await send(sidecar, request(theirs))).status).toBe(200)
    expect(await removed(sidecar)).toBe(40)
    expect(await sidecar.metric('circuit_breaker_state')).toBe(0)
    door.failure = undefined
    expect((await send(sidecar, personal)).status).toBe(200)
  })

  test('that nobody can judge now are refused with the request, at its own deadline, and pass afterwards', async () => {
    const { sidecar, door } = await start(['service.limits.wait_max=300ms'])
    const body = request([await announced(door, 'acme')])
    door.gate = new Promise(() => {})
    const startMs = performance.now()
    expect((await send(sidecar, body)).status).toBe(503)
    expect(performance.now() - startMs).toBeLessThan(3_000)
    expect((await send(sidecar, request([]))).status).toBe(200)
  })

  test('under a master key that cannot be reached hold a request back for a minute, not for ever', async () => {
    let skippedMs = 0
    const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + skippedMs }
    const { sidecar, door } = await start(['service.limits.wait_max=100ms'], clock)
    const [key, text] = await announced(door, 'acme')
    const strange = text.replace(/"masterKeyId":"[^"]+"/, '"masterKeyId":"a-key-of-nowhere"')
    door.fail('network', 'decrypt')
    const named = request([[key, text]])
    const unnamed = request([[announcementKey(strange), strange]])
    for (const body of [named, unnamed]) expect((await send(sidecar, body)).status).toBe(503)
    // A refusal that stands is an answer: it is not the service that fails.
    door.fail('access_denied', 'generate_data_key')
    expect((await send(sidecar, personal)).status).toBe(503)
    door.fail('network', 'decrypt')
    skippedMs = 61_000
    expect((await send(sidecar, named)).status).toBe(503)
    expect((await send(sidecar, unnamed)).status).toBe(200)
    expect(await removed(sidecar)).toBe(1)
  })

  test('wait out a hiccup of the key service, and their failures are in metric and log', async () => {
    const { sidecar, door } = await start()
    const body = request([await announced(door, 'acme')])
    door.fail('throttled')
    const answer = send(sidecar, body)
    await sidecar.until('the first call', () => door.count('decrypt') > 0)
    door.failure = undefined as KmsError | undefined
    expect((await answer).status).toBe(200)
    expect(await removed(sidecar)).toBe(0)
    expect(await sidecar.metric('kms_errors_total', 'error="throttled"')).toBeGreaterThan(0)
    expect(sidecar.log()).toContain('KmsException throttled')
  })

  test('beyond the budget are refused retryably instead of removed, and pass when they come again', async () => {
    // Time passes only when the test says so: neither budget nor deadline depend on how busy the machine is.
    let nowMs = systemClock.monotonicMs()
    const clock: Clock = { ...systemClock, monotonicMs: () => nowMs }
    const { sidecar, door } = await start(['service.limits.wait_max=1s'], clock)
    const many = await Promise.all(Array.from({ length: 1_100 }, (_, index) => announced(door, `t${index}`)))
    expect((await send(sidecar, request(many))).status).toBe(200)
    expect(door.count('decrypt')).toBe(1_100)
    const more = await Promise.all(Array.from({ length: 1_010 }, (_, index) => announced(door, `u${index}`)))
    const answer = send(sidecar, request(more))
    await sidecar.until('the budget is spent', () => door.count('decrypt') === 2_000)
    nowMs += 1_000
    const refused = await answer
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).not.toBeNull()
    nowMs += 2_000
    await sidecar.until('all judged', async () => (await send(sidecar, request(more))).status === 200)
    expect(door.count('decrypt')).toBe(2_110)
    expect(await removed(sidecar)).toBe(0)
  })
})
