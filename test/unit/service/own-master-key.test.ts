// A tenant's own master key is its own affair: it may be withdrawn at any time, which is how a tenant erases itself.
import { expect, onTestFinished, test } from 'vitest'
import { DoorKms } from '../kms/key-service.ts'
import { startSidecar } from './sidecar.ts'

const MAIL = JSON.stringify({
  resourceSpans: [
    {
      scopeSpans: [
        { spans: [{ traceId: '01'.repeat(16), spanId: '02'.repeat(8), name: 'mail bob@clinic.example' }] },
      ],
    },
  ],
})

test('one that is withdrawn takes the sidecar out of service for nobody, the common one does', async () => {
  const door = await DoorKms.open({ tenantKeyMapping: new Map([['byok', 'key-of-byok']]) })
  const sidecar = await startSidecar([], undefined, { openKms: async () => door })
  onTestFinished(async () => {
    await sidecar.stop()
    sidecar.remove()
  })
  const send = async (tenant: string): Promise<number> =>
    (await sidecar.post('/v1/traces', MAIL, 'application/json', { 'x-betrace-tenant': tenant })).status
  const isReady = async (): Promise<boolean> => (await sidecar.get('/q/health/ready')).status === 200
  door.fail('key_disabled', 'generate_data_key')
  // The first that comes after a start: no other tenant's key is there to say that the service works.
  expect(await send('byok')).toBe(503)
  expect(await isReady()).toBe(true)
  expect(await send('other')).toBe(503)
  expect(await isReady()).toBe(false)
  door.failure = undefined
  await sidecar.until('served', async () => (await send('other')) === 200)
  expect(await isReady()).toBe(true)
})
