// The key commands through a running sidecar: what they do, what they say, and what a request meets afterwards.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { runCommand } from '../../../../src/cli/commands.ts'
import { openLocalKms } from '../../../../src/kms/local/open.ts'
import { localOptions } from '../../kms/key-service.ts'
import { startSidecar, type TestSidecar } from '../../service/sidecar.ts'
import { recordingIo } from '../io.ts'

const TOKEN = 'test-admin-token'
const running: TestSidecar[] = []

afterEach(async () => {
  for (const sidecar of running.splice(0)) {
    await sidecar.stop()
    sidecar.remove()
  }
})

async function start(sets: readonly string[] = [], folder?: string): Promise<TestSidecar> {
  const sidecar = await startSidecar(
    ['processors.signing.select=all', 'service.admin.reveal_token=test-reveal-token', ...sets],
    folder,
  )
  running.push(sidecar)
  return sidecar
}

async function send(sidecar: TestSidecar, tenant: string): Promise<number> {
  const span = {
    traceId: '0123456789abcdef0123456789abcdef',
    spanId: '00000000000000a1',
    name: 'GET /visits',
    attributes: [{ key: 'user.email', value: { stringValue: `ada@${tenant}.example` } }],
  }
  const body = JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] })
  const answer = await sidecar.post('/v1/traces', body, 'application/json', { 'x-betrace-tenant': tenant })
  return answer.status
}

async function keys(sidecar: TestSidecar, argv: readonly string[], env = { ADMIN_TOKEN: TOKEN }) {
  const { io, out, err } = recordingIo(env, sidecar.folder)
  const stdin = Object.assign(process.stdin, {})
  const code = await runCommand(['keys', ...argv, '--admin', sidecar.adminUrl], { ...io, stdin } as typeof io)
  return { code, out: out(), err: err() }
}

const call = (sidecar: TestSidecar, path: string, body: object) =>
  sidecar.get(`/api/admin/keys/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

interface PublicKey {
  readonly keyId: string
  readonly status: string
}

async function publicKeys(sidecar: TestSidecar, tenant: string): Promise<PublicKey[]> {
  const answer = await sidecar.get(`/api/tenants/${tenant}/public-keys`)
  return ((await answer.json()) as { keys: PublicKey[] }).keys
}

const audit = (sidecar: TestSidecar): Record<string, unknown>[] =>
  sidecar
    .log()
    .split('\n')
    .filter((line) => line.includes('"audit":true'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)

describe('revoke', () => {
  test('ends the key in the running sidecar, and the next signature is under another', async () => {
    const sidecar = await start()
    expect(await send(sidecar, 'acme')).toBe(200)
    expect(await send(sidecar, 'other')).toBe(200)
    const [before] = await publicKeys(sidecar, 'acme')
    const others = await publicKeys(sidecar, 'other')
    const { keyId } = before!
    const { code, out, err } = await keys(sidecar, ['revoke', keyId, '--tenant', 'acme', '--yes'])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(new RegExp(`^revoked ${keyId}\n`))
    expect(await publicKeys(sidecar, 'acme')).toMatchObject([{ keyId, status: 'REVOKED' }])
    expect(await send(sidecar, 'acme')).toBe(200)
    const after = await publicKeys(sidecar, 'acme')
    expect(after.map(({ status }) => status)).toEqual(['REVOKED', 'ACTIVE'])
    expect(await publicKeys(sidecar, 'other')).toEqual(others)
    expect(audit(sidecar)).toMatchObject([{ action: 'revoke', tenant: 'acme', keyId }])
    const again = await keys(sidecar, ['revoke', keyId, '--tenant', 'acme', '--yes'])
    expect(again.out).toContain('was revoked before')
  })

  test('takes the keys along that the stolen one endorsed, and a rotation under way comes first', async () => {
    const sidecar = await start()
    await send(sidecar, 'acme')
    const [first] = await publicKeys(sidecar, 'acme')
    const rotation = sidecar.get('/api/admin/kms/rotate-all-keys', {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
      body: '{"force": true, "stagger_ms": 0}',
    })
    expect((await rotation).status).toBe(202)
    await sidecar.until('rotated', async () => (await publicKeys(sidecar, 'acme')).length === 2)
    const { code, out } = await keys(sidecar, ['revoke', first!.keyId, '--tenant', 'acme', '--yes'])
    expect(code).toBe(0)
    expect(out).toMatch(/ended \S+: nobody but the revoked key vouched for it/)
    expect(out).toContain('next signature makes a first key')
  })

  test('of a key that the tenant has not, or without a word of confirmation, does nothing', async () => {
    const sidecar = await start()
    await send(sidecar, 'acme')
    const before = await publicKeys(sidecar, 'acme')
    const { keyId } = before[0]!
    expect(await keys(sidecar, ['revoke', 'A'.repeat(12), '--tenant', 'acme', '--yes'])).toMatchObject({
      code: 1,
      err: 'betrace keys: the sidecar answered 400: the tenant has no signing key of this keyId\n',
    })
    const asked = await keys(sidecar, ['revoke', keyId, '--tenant', 'acme'])
    expect(asked).toMatchObject({ code: 3 })
    expect(asked.err).toContain('no terminal to ask on; --yes confirms it')
    for (const confirm of [undefined, '', 'acme', true]) {
      const answer = await call(sidecar, 'revoke', { tenantId: 'acme', keyId, confirm })
      expect([answer.status, await answer.json()]).toMatchObject([400, { error: { code: 'USAGE' } }])
    }
    const dry = await call(sidecar, 'revoke', { tenantId: 'acme', keyId, dry_run: true })
    expect(await dry.json()).toMatchObject({ status: 'dry_run', keys: [{ keyId, status: 'ACTIVE' }] })
    expect(await publicKeys(sidecar, 'acme')).toEqual(before)
  })
})

test('retire ends the key without a successor, and says when there is none', async () => {
  const sidecar = await start()
  await send(sidecar, 'acme')
  const [{ keyId } = { keyId: '' }] = await publicKeys(sidecar, 'acme')
  const { code, out } = await keys(sidecar, ['retire', '--tenant', 'acme', '--yes'])
  expect(code).toBe(0)
  expect(out).toContain(`retired ${keyId} of acme`)
  expect(await publicKeys(sidecar, 'acme')).toMatchObject([{ keyId, status: 'ROTATED' }])
  expect(await keys(sidecar, ['retire', '--tenant', 'acme', '--yes'])).toMatchObject({
    code: 1,
    err: 'betrace keys: the sidecar answered 400: the tenant has no signing key in use\n',
  })
  expect(await send(sidecar, 'acme')).toBe(200)
  expect(await publicKeys(sidecar, 'acme')).toMatchObject([{ status: 'ROTATED' }, { status: 'ACTIVE' }])
})

describe('shred', () => {
  interface Sealed {
    readonly token: string
    readonly announcement: string
    readonly traceId: string
    readonly spanId: string
  }

  interface Attribute {
    readonly key: string
    readonly value: { readonly stringValue: string }
  }

  function sealedIn(line: string): Sealed {
    // The shape that the exporter just wrote.
    const request = JSON.parse(line) as {
      resourceSpans: {
        resource: { attributes: Attribute[] }
        scopeSpans: { spans: { traceId: string; spanId: string; attributes: Attribute[] }[] }[]
      }[]
    }
    const [{ resource, scopeSpans }] = request.resourceSpans as [(typeof request.resourceSpans)[number]]
    const text = (attributes: readonly Attribute[], key: RegExp): string =>
      attributes.find((each) => key.test(each.key))!.value.stringValue
    const { traceId, spanId, attributes } = scopeSpans[0]!.spans[0]!
    return {
      ...{ traceId, spanId },
      token: text(attributes, /^user\.email$/),
      announcement: text(resource.attributes, /^betrace\.key\./),
    }
  }

  async function sealed(sidecar: TestSidecar, count: number): Promise<Sealed[]> {
    // Between them stand the audit spans of what was revealed.
    const lines = (): string[] =>
      readFileSync(join(sidecar.folder, 'out.jsonl'), { encoding: 'utf8', flag: 'a+' })
        .split('\n')
        .filter((line) => line.includes('user.email'))
    await sidecar.until('exported', () => lines().length >= count)
    return lines().map(sealedIn)
  }

  async function reveal(sidecar: TestSidecar, sealed: Sealed): Promise<object> {
    const answer = await sidecar.get('/api/admin/reveal', {
      method: 'POST',
      headers: { authorization: 'Bearer test-reveal-token', 'content-type': 'application/json' },
      body: JSON.stringify({
        reason: 'test',
        values: [{ ...sealed, attributeKey: 'user.email' }],
      }),
    })
    return ((await answer.json()) as { values: object[] }).values[0]!
  }

  test('destroys the secret; what was sealed opens no more, what is sealed afterwards does', async () => {
    const sidecar = await start(['processors.pii.tenant_secret=true'])
    expect(await send(sidecar, 'acme')).toBe(200)
    const [before] = await sealed(sidecar, 1)
    expect(await reveal(sidecar, before!)).toMatchObject({ value: { stringValue: 'ada@acme.example' } })
    const dry = await (await call(sidecar, 'shred', { tenantId: 'acme', dry_run: true })).json()
    expect(dry).toMatchObject({ status: 'dry_run', data_keys_covered: 1, own_master_key: null })
    expect(await reveal(sidecar, before!)).toHaveProperty('value')

    const { code, out, err } = await keys(sidecar, ['shred', '--tenant', 'acme', '--yes'])
    expect(out).toMatch(/^Destroyed 1 secret\(s\): \S+\. Data keys that needed them: 1\.\sProved: 1\s/)
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(await reveal(sidecar, before!)).toMatchObject({
      error: { message: 'the tenant secret of this value was destroyed' },
    })

    expect(await send(sidecar, 'acme')).toBe(200)
    const lines = await sealed(sidecar, 2)
    const after = lines.find(({ announcement }) => announcement !== before!.announcement)
    expect(await reveal(sidecar, after!)).toMatchObject({ value: { stringValue: 'ada@acme.example' } })
  })

  test('loses no key that others make meanwhile', async () => {
    const sidecar = await start(['processors.pii.tenant_secret=true'])
    await send(sidecar, 'acme')
    const tenants = Array.from({ length: 20 }, (_, index) => `t${index}`)
    const [{ code }, ...statuses] = await Promise.all([
      keys(sidecar, ['shred', '--tenant', 'acme', '--yes']),
      ...tenants.map((tenant) => send(sidecar, tenant)),
    ])
    expect([code, ...statuses]).toEqual([0, ...tenants.map(() => 200)])
    const before = await Promise.all(tenants.map((tenant) => publicKeys(sidecar, tenant)))
    const { folder } = sidecar
    await sidecar.stop()
    running.length = 0
    const again = await start(['processors.pii.tenant_secret=true'], folder)
    expect(await Promise.all(tenants.map((tenant) => publicKeys(again, tenant)))).toEqual(before)
  })

  test('of a tenant without a secret is refused', async () => {
    const sidecar = await start()
    await send(sidecar, 'acme')
    const { code, err } = await keys(sidecar, ['shred', '--tenant', 'acme', '--yes'])
    expect(code).toBe(1)
    expect(err).toContain('neither a tenant secret nor a master key of its own')
  })
})

describe('rewrap', () => {
  test('after a change of master key, in a sidecar that nobody stopped: the same keys, no tenant left out', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'betrace-test-'))
    const [old, next] = [join(folder, 'old.key'), join(folder, 'next.key')]
    const first = await start([`kms.local.key_file=${old}`], folder)
    for (const tenant of ['acme', 'beta']) expect(await send(first, tenant)).toBe(200)
    const before = await publicKeys(first, 'acme')
    await first.stop()
    running.length = 0

    await (await openLocalKms(localOptions({ keyFile: next }))).close()
    writeFileSync(join(folder, 'former.yaml'), `kms: { local: { key_file: ${JSON.stringify(old)} } }\n`)
    const second = await start(
      [
        `kms.local.key_file=${next}`,
        `kms.rewrap_from=["${join(folder, 'former.yaml')}"]`,
        'service.limits.wait_max=200ms',
      ],
      folder,
    )
    expect(await send(second, 'acme')).toBe(503)
    const { code, out, err } = await keys(second, ['rewrap'])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/^4 of \d keys wrapped anew, \d were already, 0 failed\n/)
    await second.until('served', async () => (await send(second, 'acme')) === 200)
    expect(await publicKeys(second, 'acme')).toEqual(before)
    expect((await keys(second, ['rewrap'])).out).toMatch(/^0 of \d+ keys wrapped anew, /)
    rmSync(folder, { recursive: true, force: true })
  })

  test('says what is wrong with the files that are to open the old keys', async () => {
    const sidecar = await start(['kms.rewrap_from=["/nowhere/former.yaml"]'])
    await send(sidecar, 'acme')
    const { code, err } = await keys(sidecar, ['rewrap'])
    expect(code).toBe(1)
    expect(err.replaceAll('\n', ' ')).toContain('kms.rewrap_from: the configuration has problems')
    expect(sidecar.log()).toContain(
      'kms.rewrap_from: cannot be read: there is no such file (/nowhere/former.yaml)',
    )
  })
})

test('whatever happens to one tenant at once, a revoked key stays revoked', async () => {
  const sidecar = await start()
  await send(sidecar, 'acme')
  const [{ keyId } = { keyId: '' }] = await publicKeys(sidecar, 'acme')
  const rotate = () =>
    sidecar.get('/api/admin/kms/rotate-all-keys', {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
      body: '{"force": true, "stagger_ms": 0}',
    })
  await Promise.all([
    call(sidecar, 'rewrap', {}),
    rotate(),
    call(sidecar, 'revoke', { tenantId: 'acme', keyId, confirm: keyId }),
    send(sidecar, 'acme'),
    call(sidecar, 'rewrap', {}),
    rotate(),
  ])
  await sidecar.until('all is over', async () => {
    const headers = { authorization: `Bearer ${TOKEN}` }
    const rewrap = await (await sidecar.get('/api/admin/keys/rewrap', { headers })).json()
    const rotation = await (await sidecar.get('/api/admin/kms/rotation-status', { headers })).json()
    return [rewrap, rotation].every((answer) => (answer as { status: string }).status === 'IDLE')
  })
  const after = await publicKeys(sidecar, 'acme')
  expect(after.find((key) => key.keyId === keyId)?.status).toBe('REVOKED')
  expect(await send(sidecar, 'acme')).toBe(200)
})

describe('who may', () => {
  test('nobody without the token, and no token crosses a network in clear', async () => {
    const sidecar = await start()
    for (const path of ['revoke', 'retire', 'shred', 'rewrap']) {
      const answer = await sidecar.get(`/api/admin/keys/${path}`, { method: 'POST' })
      expect(answer.status).toBe(401)
    }
    const argv = ['retire', '--tenant', 'acme', '--yes']
    expect(await keys(sidecar, argv, { ADMIN_TOKEN: 'guessed' })).toMatchObject({
      code: 1,
      err: 'betrace keys: the sidecar answered 401: a valid bearer token is needed\n',
    })
    expect(await keys(sidecar, argv, { ADMIN_TOKEN: '' })).toMatchObject({ code: 3 })
    const { io, err } = recordingIo({ ADMIN_TOKEN: TOKEN }, sidecar.folder)
    expect(await runCommand(['keys', ...argv, '--admin', 'http://sidecar.example:8080'], io)).toBe(3)
    expect(err()).toContain('http to this machine only')
  })

  test.each([
    ['revoke', { tenantId: 'acme' }],
    ['revoke', { tenantId: 'acme', keyId: 1 }],
    ['retire', { tenantId: 'münchen' }],
    ['retire', { tenantId: 'acme', keyId: 'x' }],
    ['shred', { tenantId: 'acme', dry_run: 'yes' }],
    ['shred', { tenantId: 'acme', force: true }],
    ['rewrap', { tenantId: 'acme' }],
    ['rewrap', []],
  ])('%s with %j is malformed', async (path, body) => {
    const sidecar = await start()
    expect((await call(sidecar, path, body)).status).toBe(400)
  })
})
