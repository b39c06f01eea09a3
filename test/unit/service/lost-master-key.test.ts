import { chmodSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Kms } from '../../../src/kms/kms.ts'
import { openLocalKms } from '../../../src/kms/local/open.ts'
import { localOptions } from '../kms/key-service.ts'
import { oneSpan } from './one-span.ts'
import { startSidecar, type TestSidecar } from './sidecar.ts'

const SPAN = oneSpan('GET')
const PERSONAL = oneSpan('mail somebody@clinic.example')

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

const DAMAGES: readonly (readonly [string, string, (keyFile: string) => void])[] = [
  ['lost', 'does not exist, and', (keyFile) => rmSync(keyFile)],
  ['empty', '0 bytes instead of 64', (keyFile) => truncateSync(keyFile, 0)],
  ['cut', '63 bytes instead of 64', (keyFile) => truncateSync(keyFile, 63)],
  ['garbage', 'is not a local key file', (keyFile) => writeFileSync(keyFile, Buffer.alloc(64, 7))],
  ['readable by others', 'run chmod 600 on it', (keyFile) => chmodSync(keyFile, 0o644)],
]

test.each(DAMAGES)(
  'a tenant’s own key that is %s: it is refused and named, others go on',
  async (_, what, damage) => {
    const first = await startSidecar(MAPPED)
    onTestFinished(() => first.remove())
    await seal(first, 'acme')
    await seal(first, 'beta')
    await first.stop()

    const keyFile = join(first.folder, 'data', 'local-kms-acme-key.key')
    const key = readFileSync(keyFile)
    damage(keyFile)
    // A second tenant of the same file has no records yet, and must not bring a new key about.
    const again = await startSidecar(['kms.tenant_key_mapping.aaa=acme-key', ...MAPPED], first.folder)
    for (const tenant of ['acme', 'aaa']) {
      const answer = await again.post('/v1/traces', PERSONAL, 'application/json', { 'x-tenant': tenant })
      expect(answer.status).toBe(503)
    }
    await seal(again, 'beta')
    await seal(again, 'new')
    expect(again.log()).toMatch(
      new RegExp(`kms.tenant_key_mapping.(acme|aaa): \\S+local-kms-acme-key.key .*${what}`),
    )
    expect(again.log()).toContain('KmsException key_not_found')
    expect((await again.get('/q/health/ready')).status).toBe(200)
    await again.stop()

    rmSync(keyFile, { force: true })
    writeFileSync(keyFile, key, { mode: 0o600 })
    const mended = await startSidecar([...MAPPED, 'kms.tenant_key_mapping.beta=beta-key'], first.folder)
    await seal(mended, 'acme')
    await seal(mended, 'beta')
    await mended.stop()
  },
)

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
