import { createPublicKey, verify } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { openFormerKms } from '../../../../src/cli/keys/access.ts'
import { keys as keysCommand } from '../../../../src/cli/keys/keys.ts'
import { parseAnnouncement } from '../../../../src/formats/announcement.ts'
import type { PublicKeyRecord } from '../../../../src/formats/endorsement.ts'
import { parsePseudonymKeys } from '../../../../src/keys/data/pseudonym-file.ts'
import { openTenantSecret } from '../../../../src/keys/data/tenant-secret.ts'
import { revealToken } from '../../../../src/keys/operations/reveal.ts'
import { rewrappedKey } from '../../../../src/keys/operations/rewrap.ts'
import { decodeKeyRecord, encodeKeyRecord } from '../../../../src/keys/records/key-record.ts'
import { Store } from '../../../../src/store/store.ts'
import { attributePlace } from '../../formats/places.ts'
import { statementsIn } from '../../store/statements.ts'
import { recordingIo } from '../io.ts'
import { KeysFolder, type LeftBehind, leave, MESSAGE, never } from './keys-folder.ts'

const DAY_MS = 86_400_000

async function exported(folder: KeysFolder): Promise<Map<string, PublicKeyRecord[]>> {
  const { code, out } = await folder.command(['export'])
  expect(code).toBe(0)
  const documents = JSON.parse(out) as { tenantId: string; keys: PublicKeyRecord[] }[]
  return new Map(documents.map(({ tenantId, keys }) => [tenantId, keys]))
}

async function expectVerifiable(folder: KeysFolder, left: readonly LeftBehind[]): Promise<void> {
  const documents = await exported(folder)
  for (const { tenant, keyId, signature } of left) {
    const { publicKey } = documents.get(tenant)!.find((key) => key.keyId === keyId)!
    const spki = Buffer.concat([
      Buffer.from('302a300506032b6570032100', 'hex'),
      Buffer.from(publicKey, 'base64'),
    ])
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
    expect(verify(null, MESSAGE, key, signature)).toBe(true)
  }
}

describe('keys rotate', () => {
  test('takes the tenants whose key is too old, then all, and the chain holds', async () => {
    const folder = new KeysFolder()
    folder.clock.ms = Date.now() - 100 * DAY_MS
    const left = await folder.run(['acme'])
    folder.clock.ms = Date.now()
    left.push(...(await folder.run(['young'])))
    const { code, out } = await folder.command(['rotate'])
    expect(out).toMatch(new RegExp(`^acme: ${left[0]!.keyId} is followed by \\S{22}\n$`))
    expect(code).toBe(0)
    expect(await folder.command(['rotate'])).toEqual({ code: 0, out: 'no key needs rotation\n', err: '' })
    expect((await folder.command(['rotate', '--all'])).out.split('\n')).toHaveLength(3)
    left.push(...(await folder.run(['acme', 'young'])))
    await expectVerifiable(folder, left)
    const newest = (await exported(folder)).get('acme')!.at(-1)!
    expect(newest.status).toBe('ACTIVE')
    expect((await folder.command(['show', newest.keyId])).out).toContain('good, up to the first key')
    expect((await folder.command(['list'])).out.match(/ROTATED/g)).toHaveLength(3)
  })

  test('of one tenant leaves its pseudonyms alone unless told, and then asks', async () => {
    const folder = new KeysFolder()
    const [before] = await folder.run(['acme'])
    expect((await folder.command(['rotate', '--tenant', 'acme'])).code).toBe(0)
    expect((await folder.run(['acme']))[0]!.pseudonym).toBe(before!.pseudonym)
    const refused = await folder.command(['rotate', '--tenant', 'acme', '--pseudonym'])
    expect(refused).toMatchObject({
      code: 3,
      out: '',
      err: 'betrace: this cannot be undone, and there is no terminal to ask on; --yes confirms it\n',
    })
    const done = await folder.command(['rotate', '--tenant', 'acme', '--pseudonym', '--yes'])
    expect(done.out).toContain('acme: pseudonyms under')
    expect((await folder.run(['acme']))[0]!.pseudonym).not.toBe(before!.pseudonym)
  })

  test('beside a running sidecar is refused in one line that says what to do', async () => {
    const folder = new KeysFolder()
    await folder.run(['acme'])
    await folder.open(async () => {
      expect(await folder.command(['rotate', '--all'])).toEqual({
        code: 1,
        out: '',
        err: 'betrace keys: a running sidecar holds the storage directory; stop it first, or have it rotate by itself: POST /api/admin/kms/rotate-all-keys\n',
      })
      for (const argv of [
        ['rewrap'],
        ['shred', '--tenant', 'acme', '--yes'],
        ['revoke', 'k', '--tenant', 'acme', '--yes'],
      ])
        expect(await folder.command(argv)).toEqual({
          code: 1,
          out: '',
          err: 'betrace keys: a running sidecar holds the storage directory; stop it first, or have it do this by itself: --admin URL\n',
        })
      expect((await folder.command(['list'])).code).toBe(0)
    })
  })

  test('with another key file than the keys’ is refused by name, and changes nothing', async () => {
    const folder = new KeysFolder()
    const left = await folder.run(['acme'])
    await folder.openKms('b')
    const { code, err } = await folder.command(['rotate', '--all'], 'b')
    expect(code).toBe(1)
    expect(err).toMatch(
      /^betrace keys: acme was not rotated: key_not_found, .*kms-provider-failure\.md#key-not-found\)\n$/,
    )
    expect((await exported(folder)).get('acme')).toHaveLength(1)
    expect((await folder.run(['acme']))[0]!.keyId).toBe(left[0]!.keyId)
  })

  test('a folder without data, a key file that is not there and misuse are told apart', async () => {
    const folder = new KeysFolder()
    expect(await folder.command(['rotate'])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^betrace keys: storage\.directory: \/.+: there is no data in it\n$/),
    })
    await folder.run(['acme'])
    expect((await folder.command(['rotate'], 'nowhere')).code).toBe(1)
    expect(existsSync(folder.keyFile('nowhere'))).toBe(false)
    for (const argv of [
      ['rotate', 'acme'],
      ['rotate', '--all', '--tenant', 'acme'],
      ['rotate', '--pseudonym'],
      ['revoke', 'k'],
      ['shred'],
      ['rewrap', '--tenant', 'acme'],
      ['list', '--yes'],
    ])
      expect((await folder.command(argv)).code, argv.join(' ')).toBe(3)
  })
})

describe('keys revoke', () => {
  test('needs a confirmation, names what is not there, and the next signature makes a first key', async () => {
    const folder = new KeysFolder()
    const [left] = await folder.run(['acme'])
    expect((await folder.command(['revoke', left!.keyId, '--tenant', 'acme'])).code).toBe(3)
    expect(await folder.command(['revoke', 'nope', '--tenant', 'acme', '--yes'])).toEqual({
      code: 1,
      out: '',
      err: 'betrace keys: acme has no signing key nope; betrace keys list shows its keys\n',
    })
    const argv = ['revoke', left!.keyId, '--tenant', 'acme', '--yes']
    expect((await folder.command(argv)).out).toContain(`revoked ${left!.keyId}`)
    expect((await folder.command(argv)).out).toContain('was revoked before')
    const [next] = await folder.run(['acme'])
    expect(next!.keyId).not.toBe(left!.keyId)
    const statuses = (await exported(folder)).get('acme')!.map(({ status }) => status)
    expect(statuses.toSorted()).toEqual(['ACTIVE', 'REVOKED'])
  })

  test('before or after a rotation leaves no key in use that the revoked one endorsed, and says what follows', async () => {
    for (const isRotatedFirst of [false, true]) {
      const folder = new KeysFolder()
      const [stolen] = await folder.run(['acme'])
      if (isRotatedFirst) expect((await folder.command(['rotate', '--tenant', 'acme'])).code).toBe(0)
      const { code, out } = await folder.command(['revoke', stolen!.keyId, '--tenant', 'acme', '--yes'])
      expect(code).toBe(0)
      expect(out.includes('nobody but the revoked key vouched for it')).toBe(isRotatedFirst)
      expect(out).toContain('the tenant’s next signature makes a first key')
      expect((await folder.command(['rotate', '--tenant', 'acme'])).out).toContain('has no signing key yet')
      const [next] = await folder.run(['acme'])
      const shown = await folder.command(['show', next!.keyId])
      expect(shown.out).toContain('a first key: trust it by other means')
      expect(shown.out).toMatch(/status\s+ACTIVE/)
    }
  })

  test('of a key that is over says which one goes on signing', async () => {
    const folder = new KeysFolder()
    const [left] = await folder.run(['acme'])
    const argv = ['revoke', left!.keyId, '--tenant', 'acme', '--yes']
    await folder.command(argv)
    const [next] = await folder.run(['acme'])
    expect((await folder.command(argv)).out).toBe(
      `${left!.keyId} was revoked before\nthe tenant goes on signing with ${next!.keyId}\n`,
    )
  })

  test('of a damaged key removes its record, shows it, and the tenant signs again', async () => {
    const folder = new KeysFolder()
    const [left] = await folder.run(['acme'])
    const rubbish = Buffer.from('rubbish')
    await folder.open(({ store }) => store.put('signing', 'acme', left!.keyId, rubbish))
    await expect(folder.run(['acme'])).rejects.toMatchObject({
      cause: { record: `signing/acme/${left!.keyId}` },
    })
    const { code, out } = await folder.command(['revoke', left!.keyId, '--tenant', 'acme', '--yes'])
    expect(code).toBe(0)
    expect(out).toContain(rubbish.toString('base64'))
    expect((await folder.run(['acme']))[0]!.keyId).not.toBe(left!.keyId)
  })

  test('on a terminal it asks, and anything but the key’s id does nothing', async () => {
    const folder = new KeysFolder()
    const [left] = await folder.run(['acme'])
    for (const [answer, code] of [
      ['yes', 1],
      [left!.keyId, 0],
    ] as const) {
      const { io, err } = recordingIo({}, folder.folder, true)
      const stdin = Object.assign(new PassThrough(), { isTTY: true })
      stdin.end(`${answer}\n`)
      const argv = ['revoke', left!.keyId, '--tenant', 'acme', ...folder.configArgv()]
      expect(await keysCommand(argv, { ...io, stdin })).toBe(code)
      expect(err()).toContain(`Type ${left!.keyId} to confirm`)
      expect((await exported(folder)).get('acme')![0]!.status).toBe(code === 0 ? 'REVOKED' : 'ACTIVE')
    }
  })
})

describe('keys retire', () => {
  const mapping = new Map([['acme', 'acme-key']])
  const mapped = 'kms.tenant_key_mapping={"acme":"acme-key"}'

  test('with the tenant’s master key gone: rotation passes it over, and its evidence stays verifiable', async () => {
    const folder = new KeysFolder(mapping)
    const left = await folder.run(['acme', 'other'])
    rmSync(join(folder.folder, 'a', 'local-kms-acme-key.key'))
    expect((await folder.command(['rotate', '--all'])).code).toBe(1)
    const run = (...argv: string[]) => folder.command(argv, 'a', mapped)
    expect((await run('retire', '--tenant', 'acme')).code).toBe(3)
    const { code, out } = await run('retire', '--tenant', 'acme', '--yes')
    expect(code).toBe(0)
    expect(out.replaceAll('\n', ' ')).toContain(
      `retired ${left[0]!.keyId} of acme: what it signed stays verifiable`,
    )
    await expectVerifiable(folder, left)
    const rotated = await folder.command(['rotate', '--all'])
    expect([rotated.code, rotated.out]).toEqual([
      0,
      expect.stringMatching(/^other: \S+ is followed by \S+\n$/),
    ])
    expect(await run('retire', '--tenant', 'acme', '--yes')).toEqual({
      code: 1,
      out: '',
      err: 'betrace keys: acme has no signing key in use\n',
    })
    expect((await run('retire', '--yes')).code).toBe(3)
    const [record] = (await exported(folder)).get('acme')!
    expect(record).toMatchObject({ status: 'ROTATED', notAfter: expect.any(String) })
  })

  test('a tenant that comes back signs under a first key', async () => {
    const folder = new KeysFolder()
    const left = await folder.run(['acme'])
    await folder.command(['retire', '--tenant', 'acme', '--yes'])
    left.push(...(await folder.run(['acme'])))
    expect(left[1]!.keyId).not.toBe(left[0]!.keyId)
    await expectVerifiable(folder, left)
    const next = (await exported(folder)).get('acme')!.find(({ keyId }) => keyId === left[1]!.keyId)
    expect(next).toMatchObject({ status: 'ACTIVE', endorsedBy: null })
  })
})

describe('keys rewrap', () => {
  test('moves every key to another master key; old values open from the key store alone, what travelled needs the old one', async () => {
    const folder = new KeysFolder()
    const options = { tenantSecret: true }
    const left = await folder.run(['acme', '__proto__'], options)
    const argv = ['rewrap', '--from', folder.configFile('a')]
    const { code, out, err } = await folder.command(argv, 'b')
    expect(err).toBe('')
    expect(out).toMatch(/^8 of 8 keys wrapped anew, 0 were already, 0 failed\n/)
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
    expect(out).toContain('still name the old master key')
    expect(code).toBe(0)
    expect((await folder.command(argv, 'b')).out).toMatch(
      /^0 of 8 keys wrapped anew, 8 were already, 0 failed\n/,
    )
    const after = await folder.open(
      async ({ keys, kms, store }) => {
        for (const { token, announcement } of left) {
          const tenantSecret = (owner: string, id: string) =>
            openTenantSecret({ kms, store, clock: folder.clock }, owner, id, never)
          const rewrapped = async (owner: string, kid: string) => rewrappedKey(store, owner, kid)
          const sealed = { token, announcement, place: attributePlace('user') }
          const opened = await revealToken({ kms, tenantSecret, rewrapped }, sealed, never)
          expect(Buffer.from(opened.plaintext).toString()).toBe('\n\u0005alice')
          await expect(revealToken({ kms, tenantSecret }, sealed, never)).rejects.toMatchObject({
            kmsClass: 'key_not_found',
          })
          const old = await folder.openKms('a', false)
          expect(await old.unwrap(...wrappedIn(announcement), never)).toHaveLength(32)
        }
        return Promise.all(left.map(({ tenant }) => leave(keys, tenant)))
      },
      options,
      'b',
    )
    expect(after.map(({ keyId, pseudonym }) => ({ keyId, pseudonym }))).toEqual(
      left.map(({ keyId, pseudonym }) => ({ keyId, pseudonym })),
    )
    await expectVerifiable(folder, [...left, ...after])
  })

  test('without the old key service says why, how often and of which, and leaves everything as it was', async () => {
    const folder = new KeysFolder()
    const left = await folder.run(['acme', 'beta'])
    const { code, out, err } = await folder.command(['rewrap'], 'b')
    expect(code).toBe(1)
    expect(out).toContain('0 of 6 keys wrapped anew, 0 were already, 6 failed')
    expect(err.replaceAll('\n', ' ')).toMatch(
      /^betrace keys: 6 keys stay as they were: key_not_found, no local key file holds this master key \(see \S+\): \w+\/\w+\/\S+, \S+, \S+ and 3 more $/,
    )
    const after = await folder.run(['acme', 'beta'])
    expect(after.map(({ keyId, pseudonym }) => [keyId, pseudonym])).toEqual(
      left.map(({ keyId, pseudonym }) => [keyId, pseudonym]),
    )
  })

  test('of another provider’s keys asks for --from', async () => {
    const folder = new KeysFolder()
    await folder.run(['acme'])
    await folder.open(async ({ store }) => {
      const { id, record } = [...store.list('signing')][0]!
      const decoded = decodeKeyRecord('signing', 'acme', id, record)
      await store.put('signing', 'acme', id, encodeKeyRecord('signing', { ...decoded, provider: 'vault' }))
    })
    const { code, err } = await folder.command(['rewrap'], 'b')
    expect(code).toBe(1)
    expect(err.replaceAll('\n', ' ')).toContain(
      '1 key stays as it was: no configured key service is of the record’s provider (--from names the configuration that opens them): signing/acme/',
    )
  })

  test('reads --from as it is written, in layers, whatever the environment sets for the sidecar itself', async () => {
    const folder = new KeysFolder()
    await folder.run(['acme'])
    const upper = join(folder.folder, 'upper.yaml')
    writeFileSync(upper, `kms: { local: { key_file: "\${env:OLD_KEY_FILE}" } }\n`)
    await folder.openKms('b')
    const env = {
      BETRACE_KMS_PROVIDER: 'vault',
      VAULT_ADDR: 'http://127.0.0.1:9',
      VAULT_TRANSIT_KEY_NAME: 'new',
      OLD_KEY_FILE: folder.keyFile('a'),
    }
    const { io, out, err } = recordingIo(env, folder.folder)
    const from = ['--from', folder.configFile('b'), '--from', upper]
    const sets = ['--set', 'kms.provider=local']
    expect(await keysCommand(['rewrap', ...from, ...folder.configArgv('b'), ...sets], io), err()).toBe(0)
    expect(out()).toContain('3 of 3 keys wrapped anew')
  })

  test('takes a file of the kms section alone, and nothing else that the file may hold', async () => {
    const folder = new KeysFolder()
    await folder.run(['acme'])
    const from = join(folder.folder, 'kms-only.yaml')
    const kms = `kms: { provider: local, local: { key_file: ${JSON.stringify(folder.keyFile('a'))} } }\n`
    writeFileSync(from, `${kms}receivers: { carrier_pigeon: {} }\n`)
    const { code, out, err } = await folder.command(['rewrap', '--from', from], 'b')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toContain('3 of 3 keys wrapped anew')
  })

  test.each([
    ['names no key service', 'from.yaml', 'receivers: {}\n', 'kms: is missing'],
    ['is empty', 'from.properties', '', 'kms: is missing'],
    ['misspells it', 'from.yaml', 'kms: { provider: locl }\n', 'kms.provider: must be one of'],
    ['is not there', undefined, '', 'there is no such file'],
  ])('a file that %s is refused, and nothing changes', async (_, name, content, says) => {
    const folder = new KeysFolder()
    await folder.run(['acme'])
    if (name !== undefined) writeFileSync(join(folder.folder, name), content)
    const { code, err } = await folder.command(['rewrap', '--from', name ?? 'nowhere.yaml'], 'b')
    expect(code).toBe(1)
    expect(err).toContain(says)
    expect(err).toContain('--from: the configuration has problems')
  })

  test('takes the properties of an earlier version', async () => {
    const folder = new KeysFolder()
    const arn = 'arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000001'
    writeFileSync(
      join(folder.folder, 'application.properties'),
      `betrace.kms.provider=aws\naws.kms.master-key-id=${arn}\naws.kms.region=eu-west-1\nquarkus.http.port=8080\n`,
    )
    const { io, err } = recordingIo({ BETRACE_KMS_PROVIDER: 'local' }, folder.folder)
    const former = await openFormerKms(['application.properties'], io)
    expect(err()).toBe('')
    expect([former?.provider, former?.masterKeyId]).toEqual(['aws', arn])
    await former?.close()
  })

  test('told to stop, ends between two keys and says so; the next run does the rest', async () => {
    const folder = new KeysFolder()
    const tenants = Array.from({ length: 50 }, (_, index) => `t${index}`)
    await folder.run(tenants)
    await folder.openKms('b')
    const argv = ['rewrap', '--from', folder.configFile('a'), ...folder.configArgv('b')]
    const { io, out, err } = recordingIo({}, folder.folder)
    const write = io.stderr.write.bind(io.stderr)
    const stopping = (text: string): boolean => {
      if (text.endsWith('100 of 150 keys\n')) process.emit('SIGINT')
      return write(text)
    }
    expect(await keysCommand(argv, { ...io, stderr: { ...io.stderr, write: stopping } })).toBe(1)
    expect(err()).toContain('interrupted; the same command goes on from here')
    const done = Number(/^(\d+) of 150 keys wrapped anew/.exec(out())![1])
    expect(done).toBeGreaterThanOrEqual(100)
    expect(done).toBeLessThan(150)
    const again = recordingIo({}, folder.folder)
    expect(await keysCommand(argv, again.io)).toBe(0)
    expect(again.out()).toContain(`${150 - done} of 150 keys wrapped anew, ${done} were already, 0 failed`)
    expect(process.listenerCount('SIGINT')).toBe(0)
  })
})

describe('keys shred', () => {
  const secretIn = { tenantSecret: true }

  test('destroys the tenant’s secret to the last byte on disk, proves it, and leaves evidence and others whole', async () => {
    const folder = new KeysFolder()
    const left = await folder.run(['acme', 'other'], secretIn)
    await folder.open(async ({ disk }) => {
      await disk.append(undefined, [{ key: Buffer.from('kept'), value: Buffer.from('a statement') }]).durable
    })
    const secretId = parseAnnouncement(left[0]!.announcement)!.tenantSecretId
    const wrapped = await folder.open(async ({ store }) => {
      const record = Buffer.from(store.get('secret', 'acme', secretId)!).toString()
      return (JSON.parse(record.split('\n')[0]!) as { wrappedKey: string }).wrappedKey
    })
    expect(keyFiles(folder).some((bytes) => bytes.includes(wrapped))).toBe(true)
    expect(await folder.command(['shred', '--tenant', 'acme'])).toMatchObject({ code: 3 })
    expect(keyFiles(folder).some((bytes) => bytes.includes(wrapped))).toBe(true)

    const { code, out, err } = await folder.command(['shred', '--tenant', 'acme', '--yes'])
    expect(err).toBe('')
    const line = out.replaceAll('\n', ' ')
    expect(line).toContain(`Destroyed 1 secret(s) of acme: ${secretId}. Data keys that needed them: 1.`)
    expect(line).toContain('Proved: 1 value(s) sealed under them opened before, and none opens now.')
    expect(code).toBe(0)
    expect(keyFiles(folder).map((bytes) => bytes.includes(wrapped))).toEqual([false, false])

    await folder.open(async ({ kms, store }) => {
      const parts = {
        kms,
        tenantSecret: (tenant: string, id: string) =>
          openTenantSecret({ kms, store, clock: folder.clock }, tenant, id, never),
      }
      const tried = left.map(({ token, announcement }) =>
        revealToken(parts, { token, announcement, place: attributePlace('user') }, never),
      )
      await expect(tried[0]).rejects.toMatchObject({ code: 'KEY_RECORD_CORRUPT' })
      expect((await tried[1]!).dataClass).toBe('name')
      expect(statementsIn(folder.data).map(({ value }) => value.toString())).toContain('a statement')
    })
    await expectVerifiable(folder, left)
    const again = await folder.command(['shred', '--tenant', 'acme', '--yes'])
    expect(again.out).toContain('was destroyed before')
    // The tenant goes on, under another secret.
    const [after] = await folder.run(['acme'], secretIn)
    expect(after!.keyId).toBe(left[0]!.keyId)
    expect(parseAnnouncement(after!.announcement)!.tenantSecretId).not.toBe(secretId)
  })

  test('what was sealed without a secret is said not to be shredded', async () => {
    const folder = new KeysFolder()
    await folder.run(['acme'])
    await folder.run(['acme'], secretIn)
    const { code, out, err } = await folder.command(['shred', '--tenant', 'acme', '--yes'])
    expect(code).toBe(1)
    expect(out).toContain('Destroyed 1 secret(s)')
    expect(err.replaceAll('\n', ' ')).toContain(
      'NOT shredded: what was sealed under 1 data key made without a secret',
    )
  })

  test('a tenant with neither secret nor master key of its own is refused, and told what to configure', async () => {
    const folder = new KeysFolder()
    await folder.run(['acme'])
    const before = keyFiles(folder)
    const { code, out, err } = await folder.command(['shred', '--tenant', 'acme', '--yes'])
    expect([code, out]).toEqual([1, ''])
    expect(err.replaceAll('\n', ' ')).toContain('processors.pii.tenant_secret: true')
    expect(err).toContain('kms.tenant_key_mapping')
    expect(keyFiles(folder)).toEqual(before)
  })

  test('with a master key of its own: the provider’s commands, and no claim', async () => {
    const folder = new KeysFolder(new Map([['acme', 'acme-key']]))
    await folder.run(['acme'])
    const { code, out } = await folder.command(
      ['shred', '--tenant', 'acme'],
      'a',
      'kms.tenant_key_mapping={"acme":"acme-key"}',
    )
    expect(code).toBe(2)
    expect(out).toContain(`  shred -u ${join(folder.folder, 'a', 'local-kms-acme-key.key')}\n`)
    expect(out.replaceAll('\n', ' ')).toContain('so it is not claimed here')
    expect(out).not.toContain('Destroyed')
  })

  test('without the key service there is no proof, so nothing is destroyed', async () => {
    const folder = new KeysFolder()
    const left = await folder.run(['acme'], secretIn)
    await folder.openKms('b')
    const { code, err } = await folder.command(['shred', '--tenant', 'acme', '--yes'], 'b')
    expect(code).toBe(1)
    expect(err).toContain('not shredded')
    const [after] = await folder.run(['acme'], secretIn)
    expect(parseAnnouncement(after!.announcement)!.tenantSecretId).toBe(
      parseAnnouncement(left[0]!.announcement)!.tenantSecretId,
    )
  })

  test('files that a death on the way left behind are overwritten and gone after the next call', async () => {
    const folder = new KeysFolder()
    await folder.run(['acme'], secretIn)
    const left = ['a', 'b'].map((copy) => join(folder.data, 'keys', `0000009999.${copy}.log`))
    for (const file of left) writeFileSync(file, 'half a copy')
    expect((await folder.command(['shred', '--tenant', 'acme', '--yes'])).code).toBe(0)
    for (const file of left) expect(existsSync(file)).toBe(false)
    const store = await Store.open({ directory: folder.data }, [])
    await store.close()
  })
})

/** Both copies of the key records. */
function keyFiles(folder: KeysFolder): Buffer[] {
  const names = readdirSync(join(folder.data, 'keys'))
  return names.map((name) => readFileSync(join(folder.data, 'keys', name)))
}

describe('keys share-pseudonyms', () => {
  test('gives other replicas the keys of known tenants and a root for new ones: equal values join', async () => {
    const [first, second, third] = [new KeysFolder(), new KeysFolder(), new KeysFolder()]
    const [before] = await first.run(['acme'])
    const { code, out, err } = await first.command(['share-pseudonyms', '--shared'])
    expect([code, err]).toEqual([0, ''])
    const pseudonymKeys = parsePseudonymKeys(out)
    const tokens = []
    for (const folder of [first, second, third]) {
      // Replicas share the master key and nothing else.
      if (folder !== first) cpSync(first.keyFile(), folder.keyFile())
      const left = await folder.run(['acme', 'new', '__proto__'], { pseudonymKeys })
      tokens.push(left.map(({ pseudonym }) => pseudonym))
      expect(new Set(left.map(({ announcement }) => announcement)).size).toBe(3)
    }
    expect(tokens[0]![0]).toBe(before!.pseudonym)
    expect(tokens[1]).toEqual(tokens[0])
    expect(tokens[2]).toEqual(tokens[0])
    expect(new Set(tokens[0]!.map((token) => token.slice(-22))).size).toBe(3)
  })

  test('a kept file keeps its root, gains new tenants, and moves to another master key: values go on joining', async () => {
    const folder = new KeysFolder()
    await folder.run(['acme'])
    const first = join(folder.folder, 'first.json')
    writeFileSync(first, (await folder.command(['share-pseudonyms', '--shared'])).out)
    const pseudonymKeys = parsePseudonymKeys(readFileSync(first, 'utf8'))
    const before = await folder.run(['acme', 'rooted'], { pseudonymKeys })
    const added = await folder.run(['added'])
    const argv = ['share-pseudonyms', '--keep', first]
    const grown = parsePseudonymKeys((await folder.command(argv)).out)
    expect(grown.shared).toEqual(pseudonymKeys.shared)
    expect([...grown.tenants.keys()]).toEqual(['acme', 'added'])
    await folder.openKms('b')
    writeFileSync(first, (await folder.command(argv)).out)
    expect((await folder.command(['rewrap', '--from', folder.configFile('a')], 'b')).code).toBe(0)
    const moved = await folder.command([...argv, '--from', folder.configFile('a')], 'b')
    expect(moved.err).toBe('')
    const after = await folder.run(
      ['acme', 'rooted', 'added'],
      { pseudonymKeys: parsePseudonymKeys(moved.out) },
      'b',
    )
    expect(after.map(({ pseudonym }) => pseudonym)).toEqual(
      [...before, ...added].map(({ pseudonym }) => pseudonym),
    )
    expect((await folder.command(['share-pseudonyms', '--from', 'x'])).code).toBe(3)
    expect(await folder.command(['share-pseudonyms', '--keep', 'none.json'])).toEqual({
      code: 2,
      out: '',
      err: 'betrace keys: --keep: the file cannot be read\n',
    })
  })

  test('keys rotate --pseudonym leaves a shared key alone, does nothing else either, and says how it is done', async () => {
    const folder = new KeysFolder()
    await folder.run(['acme', 'alone'])
    const shared = join(folder.folder, 'shared.json')
    writeFileSync(shared, (await folder.command(['share-pseudonyms', '--tenant', 'acme'])).out)
    const given = `kms.pseudonym_key_file=${shared}`
    const rotate = (tenant: string) =>
      folder.command(['rotate', '--tenant', tenant, '--pseudonym', '--yes'], 'a', given)
    const refused = await rotate('acme')
    expect([refused.code, refused.out]).toEqual([1, ''])
    expect(refused.err).toMatch(/^betrace keys: nothing was rotated/)
    expect(refused.err).toContain('--renew')
    for (const line of refused.err.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80)
    // One that the file does not hold is in the key store, as ever.
    expect((await rotate('alone')).out).toContain('alone: pseudonyms under')
  })

  test('--renew gives one tenant of the file a new key, which all replicas then have', async () => {
    const folder = new KeysFolder()
    await folder.run(['acme'])
    const file = join(folder.folder, 'shared.json')
    writeFileSync(file, (await folder.command(['share-pseudonyms', '--shared'])).out)
    const joined = async () => {
      const left = await folder.run(['acme', 'rooted'], {
        pseudonymKeys: parsePseudonymKeys(readFileSync(file, 'utf8')),
      })
      return left.map(({ pseudonym }) => pseudonym)
    }
    const [acme, rooted] = await joined()
    const renew = async (tenant: string) => {
      const argv = ['share-pseudonyms', '--keep', file, '--tenant', tenant, '--renew']
      const { code, out, err } = await folder.command(argv)
      expect([code, err]).toEqual([0, ''])
      writeFileSync(file, out)
    }
    await renew('acme')
    const [renewed, kept] = await joined()
    expect([renewed === acme, kept]).toEqual([false, rooted])
    await renew('rooted')
    const [again, own] = await joined()
    expect([again, own === rooted]).toEqual([renewed, false])
    for (const argv of [
      ['--keep', file, '--renew'],
      ['--tenant', 'acme', '--renew'],
    ])
      expect((await folder.command(['share-pseudonyms', ...argv])).code).toBe(3)
  })

  test('without a tenant that has one there is nothing to share', async () => {
    const folder = new KeysFolder()
    await folder.open(async ({ keys }) => void (await keys.loadSigningKey('acme', never)))
    const { code, err } = await folder.command(['share-pseudonyms'])
    expect(code).toBe(1)
    expect(err).toContain('--shared')
  })
})

function wrappedIn(announcement: string): [Uint8Array, string, { tenantId: string; purpose: 'pii' }] {
  const { wrappedKey, masterKeyId, context } = parseAnnouncement(announcement)!
  return [wrappedKey, masterKeyId, { tenantId: context.tenantId, purpose: 'pii' }]
}
