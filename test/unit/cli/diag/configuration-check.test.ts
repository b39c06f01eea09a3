import { expect, test } from 'vitest'
import { disagreement } from '../../../../src/cli/diag/configuration-check.ts'

const azure = (vaultUri: string) =>
  new Map([
    [
      'kms',
      new Map<string, unknown>([
        ['provider', 'azure'],
        [
          'azure',
          new Map([
            ['vault_uri', vaultUri],
            ['key_name', 'k'],
          ]),
        ],
      ]),
    ],
  ])

test.each([
  ['https://my.vault.azure.net', true],
  ['https://My.vault.azure.net/', true],
  ['https://my.vault.azure.net:443', true],
  ['https://y.vault.azure.net', false],
  ['https://my.vault.azure.net:444', false],
])('the vault %s is that of a running key: %s', (vaultUri, isSame) => {
  const running = { provider: 'azure', masterKey: 'https://my.vault.azure.net/keys/k' }
  const said = disagreement(azure(vaultUri), running)
  if (isSame) expect(said).toBeUndefined()
  else expect(said).toContain('kms.azure.vault_uri differs')
})
