// The commands of docs/runbooks/key-rotation-failure.md that need a stopped sidecar, taken from the page.
import { expect, test } from 'vitest'
import { text } from '../../deploy/operations-files.ts'
import { KeysFolder } from './keys-folder.ts'

/** The lines of the section's command blocks, in order. */
function commandsOf(section: string): string[] {
  const page = text('docs/runbooks/key-rotation-failure.md')
  const [, body = ''] = page.split(`## ${section}\n`)
  const blocks = body.split('\n## ')[0]!.matchAll(/```bash operator\n([^`]*)```/g)
  return [...blocks].flatMap(([, lines]) => lines!.trim().split('\n'))
}

test('a key was stolen: afterwards the tenant signs under a first key, and its list says what counts', async () => {
  const folder = new KeysFolder()
  const [stolen] = await folder.run(['acme'])
  const [revoke, ...rest] = commandsOf('A key was stolen')
  const run = (command: string) =>
    folder.command([
      ...command.replace('betrace keys ', '').replace('KEY_ID', stolen!.keyId).split(' '),
      ...(command.includes('export') ? [] : ['--yes']),
    ])
  expect((await run(revoke!)).code).toBe(0)
  const [next] = await folder.run(['acme'])
  const outputs = []
  for (const command of rest) outputs.push(await run(command))
  expect(outputs.map(({ code }) => code)).toEqual([0])
  const [{ keys }] = JSON.parse(outputs[0]!.out) as [{ keys: { keyId: string }[] }]
  expect(new Map(keys.map((key) => [key.keyId, key]))).toEqual(
    new Map([
      [stolen!.keyId, expect.objectContaining({ status: 'REVOKED' })],
      [next!.keyId, expect.objectContaining({ status: 'ACTIVE', endorsedBy: null })],
    ]),
  )
})

test('a tenant is gone: afterwards no rotation looks for its master key', async () => {
  const folder = new KeysFolder()
  await folder.run(['acme'])
  const commands = commandsOf('A tenant is gone')
  expect(commands).toHaveLength(1)
  const argv = commands[0]!.replace('betrace keys ', '').split(' ')
  expect((await folder.command([...argv, '--yes'])).code).toBe(0)
  await folder.openKms('b')
  expect(await folder.command(['rotate', '--all'], 'b')).toMatchObject({ code: 0, err: '' })
})
