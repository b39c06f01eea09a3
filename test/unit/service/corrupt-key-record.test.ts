import { expect, onTestFinished, test } from 'vitest'
import { storeKeyStore } from '../../../src/store/key-store.ts'
import { Store } from '../../../src/store/store.ts'
import { oneSpan } from './one-span.ts'
import { startSidecar } from './sidecar.ts'

const SIGNED = ['processors.signing.select=all']
const SPAN = oneSpan('GET')

test('a damaged key record is known by name at the start, and costs nobody but its tenant', async () => {
  const first = await startSidecar(SIGNED)
  onTestFinished(() => first.remove())
  const send = (sidecar: typeof first, tenant: string): Promise<Response> =>
    sidecar.post('/v1/traces', SPAN, 'application/json', { 'x-betrace-tenant': tenant })
  for (const tenant of ['acme', 'other']) expect((await send(first, tenant)).status).toBe(200)
  await first.stop()

  const store = await Store.open({ directory: `${first.folder}/data` }, [])
  const records = storeKeyStore<'signing'>(store)
  const { id, record } = [...records.list('signing', 'acme')][0]!
  await records.put('signing', 'acme', id, record.subarray(0, -2))
  await store.close()

  const again = await startSidecar(SIGNED, first.folder)
  onTestFinished(async () => void (await again.stop()))
  await again.until('named in the log', () =>
    again.log().includes(`Key record signing/acme/${id} is corrupt`),
  )
  const status = await again.get('/api/admin/kms/status', {
    headers: { authorization: 'Bearer test-admin-token' },
  })
  expect(await status.json()).toMatchObject({
    status: 'WARNING',
    issues: expect.arrayContaining([`key record signing/acme/${id} is corrupt`]),
  })
  expect((await send(again, 'other')).status).toBe(200)
  const startMs = performance.now()
  expect((await send(again, 'acme')).status).toBe(503)
  // Nothing that waiting could heal.
  expect(performance.now() - startMs).toBeLessThan(2_000)
})
