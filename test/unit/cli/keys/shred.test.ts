// What `keys shred` says of a tenant with a master key of its own: which values its end reaches, and which it does not.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runCommand } from '../../../../src/cli/commands.ts'
import { loadConfig } from '../../../../src/config/load.ts'
import { recordingIo } from '../io.ts'
import { KeysFolder, type LeftBehind, ROOT } from './keys-folder.ts'

const MAPPED = 'kms.tenant_key_mapping={"acme":"acme-key"}'

/** On one line, whatever the width was. */
const flat = (text: string): string => text.replaceAll('\n', ' ')

/** A tenant that was given a master key of its own only after it had sealed. */
async function lateMapped(): Promise<KeysFolder> {
  const folder = new KeysFolder()
  await folder.run(['acme', 'other'])
  folder.mapping = new Map([['acme', 'acme-key']])
  return folder
}

const shred = (folder: KeysFolder) => folder.command(['shred', '--tenant', 'acme', '--yes'], 'a', MAPPED)

describe('keys shred of a tenant with a master key of its own', () => {
  test('counts what its key covers, claims no more, and says how to take it out of rotation', async () => {
    const folder = new KeysFolder(new Map([['acme', 'acme-key']]))
    await folder.run(['acme'])
    await folder.run(['acme'])
    const { code, out, err } = await shred(folder)
    expect([code, err]).toEqual([2, ''])
    expect(flat(out)).toContain(
      'nothing that was sealed under the 2 data keys of it that this key store knows',
    )
    expect(flat(out)).toContain('  betrace keys retire --tenant acme')
  })

  test('names what was sealed under the shared master key before: its end does not reach that', async () => {
    const folder = await lateMapped()
    await folder.run(['acme'])
    const { code, out, err } = await shred(folder)
    expect(code).toBe(1)
    expect(flat(out)).toContain('the 1 data key of it')
    expect(flat(err)).toMatch(
      /NOT covered: what was sealed under 1 data key, \S+Z to \S+Z; local local:\S+ opens it, and goes on to/,
    )
  })

  test('after a rewrap, what was exported still leads to the old master key', async () => {
    const folder = await lateMapped()
    expect((await folder.command(['rewrap'], 'a', MAPPED)).code).toBe(0)
    const { code, err } = await shred(folder)
    expect(code).toBe(1)
    expect(flat(err)).toMatch(
      /NOT covered: .* 1 data key, .* were rewrapped since, but what was exported before still names local local:\S+, which opens it/,
    )
  })

  test('a key store that was rewrapped away from it keeps another way in', async () => {
    const folder = new KeysFolder(new Map([['acme', 'acme-key']]))
    await folder.run(['acme'])
    const from = folder.configFile('a', 'tenant_key_mapping: { acme: acme-key }')
    expect((await folder.command(['rewrap', '--from', from], 'a')).code).toBe(0)
    const { code, err } = await shred(folder)
    expect(code).toBe(1)
    expect(flat(err)).toContain('NOT covered: what was sealed under 1 data key')
  })

  test('with a secret too, only what needs neither is left open', async () => {
    const folder = new KeysFolder()
    await folder.run(['acme'], { tenantSecret: true })
    folder.mapping = new Map([['acme', 'acme-key']])
    await folder.run(['acme'], { tenantSecret: true })
    const { code, out, err } = await shred(folder)
    expect([code, err]).toEqual([0, ''])
    expect(out).toContain('Destroyed 1 secret(s)')
  })

  test('an announcement that cannot be read is no reason for a claim', async () => {
    const folder = new KeysFolder(new Map([['acme', 'acme-key']]))
    await folder.run(['acme'])
    await folder.open(({ store }) => store.put('announcement', 'acme', 'abcdefghijkl', Buffer.from('{}')))
    const { code, err } = await shred(folder)
    expect(code).toBe(1)
    expect(flat(err)).toContain('1 damaged announcement of acme in the key store')
  })

  test('where its key does not answer any more, what it covered cannot be told', async () => {
    const folder = new KeysFolder(new Map([['acme', 'acme-key']]))
    await folder.run(['acme'])
    rmSync(join(folder.folder, 'a', 'local-kms-acme-key.key'))
    const { code, out } = await shred(folder)
    expect(code).not.toBe(0)
    expect(out).not.toContain('nothing that was sealed')
  })
})

test('the settings that a refusal prints are ones that the configuration takes', async () => {
  const folder = new KeysFolder()
  await folder.run(['acme'])
  const { code, out, err } = await folder.command(['shred', '--tenant', 'acme', '--yes'])
  expect([code, out]).toEqual([1, ''])
  const [, setting] = /set (processors\.\S+): true/.exec(flat(err))!
  const mapping = /kms\.\S*mapping/.exec(flat(err))![0]
  const { config, problems } = await loadConfig({
    files: [join(ROOT, 'collector-config.yaml')],
    sets: [`${setting}=true`, `${mapping}={"acme":"acme-key"}`],
    env: {},
    cwd: folder.folder,
  })
  expect(problems).toEqual([])
  expect(config!.processors.get('pii')).toMatchObject({ tenantSecret: true })
  expect(config!.kms.tenantKeyMapping.get('acme')).toBe('acme-key')
})

describe('after it, reveal says what became of a value', () => {
  const reveal = async (folder: KeysFolder, left: LeftBehind, keyFile = 'a', ...sets: string[]) => {
    const { io, out, err } = recordingIo({}, folder.folder)
    const sealed = ['--token', left.token, '--attribute', 'user', '--announcement', left.announcement]
    const code = await runCommand(['reveal', ...sealed, ...folder.configArgv(keyFile, ...sets)], io)
    return { code, out: out(), err: err() }
  }

  test('its tenant secret was destroyed: it does not open, exit code 1', async () => {
    const folder = new KeysFolder()
    const [left] = await folder.run(['acme'], { tenantSecret: true })
    expect(await reveal(folder, left!)).toMatchObject({ code: 0, out: 'alice\n' })
    expect((await folder.command(['shred', '--tenant', 'acme', '--yes'])).code).toBe(0)
    expect(await reveal(folder, left!)).toEqual({
      code: 1,
      out: '',
      err: 'betrace reveal: destroyed: the tenant secret that it was sealed with is gone for good\n',
    })
  })

  test('the secret is in another key store: cannot tell, and not that it was destroyed', async () => {
    const [folder, other] = [new KeysFolder(), new KeysFolder()]
    const [left] = await folder.run(['acme'], { tenantSecret: true })
    await other.run(['other'])
    const sets = `storage.directory=${other.data}`
    expect(await reveal(folder, left!, 'a', sets)).toEqual({
      code: 2,
      out: '',
      err: 'betrace reveal: cannot tell: the tenant secret of this value is not in this key store\n',
    })
  })

  test('the master key is not there: cannot tell, and says what that may mean', async () => {
    const folder = new KeysFolder(new Map([['acme', 'acme-key']]))
    const [left] = await folder.run(['acme'])
    rmSync(join(folder.folder, 'a', 'local-kms-acme-key.key'))
    const { code, err } = await reveal(folder, left!)
    expect(code).toBe(2)
    expect(err).toContain(
      'cannot tell: its master key is not there: destroyed, or out of reach of this configuration (key_not_found: ',
    )
  })
})
