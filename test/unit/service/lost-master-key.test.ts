import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Kms } from '../../../src/kms/kms.ts'
import { openLocalKms } from '../../../src/kms/local/open.ts'
import { localOptions } from '../kms/key-service.ts'
import { oneSpan } from './one-span.ts'
import { startSidecar, type TestSidecar } from './sidecar.ts'

const SPAN = oneSpan('GET')

test('a folder with key records does not start with a new master key', async () => {
  const first = await startSidecar()
  onTestFinished(() => first.remove())
  expect((await first.post('/v1/traces', SPAN, 'application/json')).status).toBe(200)
  await first.stop()

  const keyFile = join(first.folder, 'data', 'local-kms.key')
  const key = readFileSync(keyFile)
  rmSync(keyFile)
  await expect(startSidecar([], first.folder)).rejects.toMatchObject({
    code: 'CONFIG',
    message: expect.stringMatching(/^kms\.local\.key_file: \S+local-kms\.key does not exist, and/),
  })

  writeFileSync(keyFile, key, { mode: 0o600 })
  const again = await startSidecar([], first.folder)
  expect((await again.post('/v1/traces', SPAN, 'application/json')).status).toBe(200)
  await again.stop()
})

const MAPPED = ['kms.tenant_key_mapping.acme=acme-key', 'tenants.header=x-tenant']

async function seal(sidecar: TestSidecar, tenant: string): Promise<void> {
  const answer = await sidecar.post('/v1/traces', SPAN, 'application/json', { 'x-tenant': tenant })
  expect(answer.status).toBe(200)
}

test('a tenant gets a key of its own after the first start', async () => {
  const first = await startSidecar(['tenants.header=x-tenant'])
  onTestFinished(() => first.remove())
  await seal(first, 'acme')
  await first.stop()

  const mapped = await startSidecar(MAPPED, first.folder)
  await seal(mapped, 'acme')
  expect(existsSync(join(first.folder, 'data', 'local-kms-acme-key.key'))).toBe(true)
  await mapped.stop()
})

test('a tenant whose own key is lost does not get a new one in silence, others may', async () => {
  const first = await startSidecar(MAPPED)
  onTestFinished(() => first.remove())
  await seal(first, 'acme')
  await seal(first, 'beta')
  await first.stop()

  const keyFile = join(first.folder, 'data', 'local-kms-acme-key.key')
  renameSync(keyFile, `${keyFile}.away`)
  // A second tenant of the same lost file has no records yet, and must not bring it about.
  const sets = ['kms.tenant_key_mapping.aaa=acme-key', ...MAPPED]
  await expect(startSidecar(sets, first.folder)).rejects.toMatchObject({
    code: 'CONFIG',
    message: expect.stringMatching(
      /^kms\.tenant_key_mapping\.acme: \S+local-kms-acme-key\.key does not exist, and/,
    ),
  })
  expect(existsSync(keyFile)).toBe(false)

  renameSync(`${keyFile}.away`, keyFile)
  const again = await startSidecar([...MAPPED, 'kms.tenant_key_mapping.beta=beta-key'], first.folder)
  await seal(again, 'acme')
  await seal(again, 'beta')
  await again.stop()
})

test('a tenant moves on to another key while the file of the one before stands there', async () => {
  const first = await startSidecar(MAPPED)
  onTestFinished(() => first.remove())
  await seal(first, 'acme')
  await first.stop()
  const moved = await startSidecar(['kms.tenant_key_mapping.acme=acme-key-2'], first.folder)
  await moved.stop()
})

test('a folder of another key service is taken over by local', async () => {
  const first = await startSidecar([], undefined, { openKms: otherService })
  onTestFinished(() => first.remove())
  await seal(first, 'acme')
  await first.stop()
  expect(existsSync(join(first.folder, 'data', 'local-kms.key'))).toBe(false)
  const local = await startSidecar([], first.folder)
  expect(existsSync(join(first.folder, 'data', 'local-kms.key'))).toBe(true)
  await local.stop()
})

/** The local service under another name, its key file outside of the data folder. */
async function otherService(): Promise<Kms> {
  const kms = await openLocalKms(localOptions())
  return new Proxy(kms, {
    get: (target, name) => {
      if (name === 'provider') return 'aws'
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
