// One grammar of tenant ids: what the configuration takes, the door takes, and admin calls take, id by id.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { loadConfig } from '../../../src/config/load.ts'
import { isTenantId } from '../../../src/formats/tenant-id.ts'
import { TenantResolver, tenantDefaults } from '../../../src/pipeline/tenant.ts'

const IDS: readonly (readonly [id: string, isOne: boolean])[] = [
  ['acme', true],
  ['Acme Corp', true],
  ['__proto__', true],
  ['~!@#$%^&*()[]{}|;:",.<>?/', true],
  ['x'.repeat(128), true],
  ['x'.repeat(129), false],
  ['münchen', false],
  ['日本', false],
  [' acme', false],
  ['acme ', false],
  ['a\u007fb', false],
  ['a\u0085b', false],
  ['a\nb', false],
  ['a\u0000b', false],
  ['\ud800', false],
]

const folder = mkdtempSync(join(tmpdir(), 'betrace-tenant-id-'))
afterAll(() => rmSync(folder, { recursive: true }))

async function problemsOf(block: string, setting: string, value: unknown): Promise<readonly string[]> {
  const file = join(folder, 'config.yaml')
  writeFileSync(file, stringify({ [block]: { [setting]: value } }))
  const { problems } = await loadConfig({ files: [file], sets: [], env: {}, cwd: folder })
  return problems.map(({ path }) => path).filter((path) => path.startsWith(`${block}.${setting}`))
}

test.each(IDS)('%j is one: %s, for configuration and door alike', async (id, isOne) => {
  expect(isTenantId(id)).toBe(isOne)
  expect(await problemsOf('tenants', 'default', id)).toEqual(isOne ? [] : ['tenants.default'])
  expect(await problemsOf('tenants', 'allow', [id])).toEqual(isOne ? [] : ['tenants.allow'])
  expect(await problemsOf('kms', 'tenant_key_mapping', { [id]: 'key' })).toEqual(
    isOne ? [] : ['kms.tenant_key_mapping'],
  )
  const resolver = new TenantResolver(tenantDefaults)
  if (isOne) expect(resolver.resolve(id)).toBe(id)
  else expect(() => resolver.resolve(id)).toThrow('tenant name is not valid')
})
