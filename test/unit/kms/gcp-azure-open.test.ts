// Opening Google's and Azure's key services: what is said, what is refused, what happens without their packages.
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { PassThrough } from 'node:stream'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { createTelemetry, silentTelemetry } from '../../../src/base/telemetry.ts'
import { type AzureKmsOptions, openAzureKms } from '../../../src/kms/azure/open.ts'
import { type GcpKmsOptions, openGcpKms } from '../../../src/kms/gcp/open.ts'

const root = resolve(import.meta.dirname, '../../..')
const request = { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 3 }
const SECRET = 'a-secret-that-must-not-show'

const gcp = (more: Partial<GcpKmsOptions> = {}): GcpKmsOptions => ({
  projectId: 'acme-prod',
  location: 'europe-west1',
  keyRing: 'telemetry',
  keyName: 'master',
  tenantKeyMapping: new Map(),
  request,
  log: silentTelemetry().log,
  ...more,
})

const azure = (more: Partial<AzureKmsOptions> = {}): AzureKmsOptions => ({
  vaultUri: 'https://acme.vault.azure.net/',
  keyName: 'master',
  tenantKeyMapping: new Map(),
  request,
  env: {},
  log: silentTelemetry().log,
  ...more,
})

async function linesOf(open: (log: GcpKmsOptions['log']) => Promise<unknown>): Promise<string[]> {
  const destination = new PassThrough()
  await open((await createTelemetry({ level: 'info', encoding: 'json', destination })).log)
  const text = String(destination.read())
  return text
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { msg: string }).msg) // pino's own form
}

describe('gcp', () => {
  test('start-up says which key it uses, and asks nobody', async () => {
    const lines = await linesOf(async (log) => {
      const kms = await openGcpKms(gcp({ log }))
      expect(kms.provider).toBe('gcp')
      expect(kms.masterKeyId).toBe(
        'projects/acme-prod/locations/europe-west1/keyRings/telemetry/cryptoKeys/master',
      )
      await kms.close()
    })
    expect(lines).toEqual([
      'Initializing KMS provider: gcp',
      'Using GCP KMS - location: europe-west1, key: projects/acme-prod/locations/europe-west1/keyRings/telemetry/cryptoKeys/master',
    ])
  })

  test('an endpoint without TLS is warned of', async () => {
    const lines = await linesOf(async (log) =>
      (await openGcpKms(gcp({ log, endpoint: 'http://127.0.0.1:1' }))).close(),
    )
    expect(lines.at(-1)).toBe('kms.gcp.endpoint is plaintext: fit for an emulator only')
  })

  test.each<[string, Partial<GcpKmsOptions>, RegExp]>([
    ['a project with a slash', { projectId: 'a/b' }, /^kms\.gcp\.project_id: must be/],
    ['an empty location', { location: '' }, /^kms\.gcp\.location: /],
    ['a key with a version', { keyName: 'k/cryptoKeyVersions/1' }, /^kms\.gcp\.key_name: /],
    [
      'a tenant’s key that is none',
      { tenantKeyMapping: new Map([['t', 'a b']]) },
      /^kms\.tenant_key_mapping\.t: /,
    ],
    [
      'a tenant’s key with a version',
      {
        tenantKeyMapping: new Map([
          ['t', 'projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1'],
        ]),
      },
      /^kms\.tenant_key_mapping\.t: .*projects\/<project>/,
    ],
    ['an endpoint with a path', { endpoint: 'https://h/v1' }, /^kms\.gcp\.endpoint: /],
    ['an endpoint with a password', { endpoint: 'https://u:p@h' }, /^kms\.gcp\.endpoint: /],
    ['an endpoint of another scheme', { endpoint: 'ftp://h' }, /^kms\.gcp\.endpoint: /],
    ['an endpoint with a port too large', { endpoint: 'h:99999' }, /^kms\.gcp\.endpoint: /],
    ['a CA file that is not there', { caFile: '/nowhere/ca.pem' }, /^kms\.gcp\.ca_file: /],
  ])('%s is refused by its setting’s name', async (_, more, message) => {
    await expect(openGcpKms(gcp(more))).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringMatching(message),
    })
  })

  test.each([
    'cloudkms.googleapis.com',
    'kms.example:8443',
    'https://kms.example',
    'https://kms.example:8443/',
  ])('endpoint %s is taken', async (endpoint) => {
    await (await openGcpKms(gcp({ endpoint }))).close()
  })
})

describe('azure', () => {
  test('start-up says which key it uses, asks nobody, and keeps the secret to itself', async () => {
    const lines = await linesOf(async (log) => {
      const clientSecret = { reveal: () => SECRET }
      const kms = await openAzureKms(
        azure({ log, tenantId: '11111111-2222-3333-4444-555555555555', clientId: 'c', clientSecret }),
      )
      expect(kms.provider).toBe('azure')
      expect(kms.masterKeyId).toBe('https://acme.vault.azure.net/keys/master')
      await kms.close()
    })
    expect(lines).toEqual([
      'Initializing KMS provider: azure',
      'Using Azure Key Vault - vault: https://acme.vault.azure.net, key: https://acme.vault.azure.net/keys/master',
    ])
    expect(lines.join('')).not.toContain(SECRET)
  })

  test.each<[string, Partial<AzureKmsOptions>, RegExp]>([
    [
      'a vault without TLS',
      { vaultUri: 'http://acme.vault.azure.net' },
      /^kms\.azure\.vault_uri: must be https/,
    ],
    ['a vault with a path', { vaultUri: 'https://acme.vault.azure.net/keys' }, /^kms\.azure\.vault_uri: /],
    ['a vault that is no URL', { vaultUri: 'acme' }, /^kms\.azure\.vault_uri: /],
    ['a former vault that is no URL', { formerVaultUris: ['acme'] }, /^kms\.azure\.former_vault_uris\[0\]: /],
    ['a key with a slash', { keyName: 'a/b' }, /^kms\.azure\.key_name: /],
    ['no key', { keyName: '' }, /^kms\.azure\.key_name: /],
    [
      'a tenant’s key that is none',
      { tenantKeyMapping: new Map([['t', 'a b']]) },
      /^kms\.tenant_key_mapping\.t: /,
    ],
    ['an authority that is no URL', { authorityHost: 'login' }, /^kms\.azure\.authority_host: /],
    ['an authority without TLS', { authorityHost: 'http://login.example' }, /^kms\.azure\.authority_host: /],
    ['a CA file that is not there', { caFile: '/nowhere/ca.pem' }, /^kms\.azure\.ca_file: /],
    [
      'a secret alone',
      { clientSecret: { reveal: () => SECRET } },
      /^kms\.azure\.client_secret: needs tenant_id/,
    ],
    [
      'a tenant that is none',
      { tenantId: 'not a tenant', clientId: 'c', clientSecret: { reveal: () => SECRET } },
      /^kms\.azure\.tenant_id: /,
    ],
  ])('%s is refused by its setting’s name', async (_, more, message) => {
    await expect(openAzureKms(azure(more))).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringMatching(message),
    })
  })
})

describe('without the packages', () => {
  test.each([
    ['gcp', 'openGcpKms', 'gcp/connection', 'npm install @google-cloud/kms@6.3.0', gcp()],
    [
      'azure',
      'openAzureKms',
      'azure/vault',
      'npm install @azure/keyvault-keys@4.10.2 @azure/identity@4.14.1',
      azure(),
    ],
  ])(
    '%s says how to install them, validate in the same words',
    async (provider, open, loader, command, options) => {
      const folder = mkdtempSync(join(tmpdir(), 'betrace-no-packages-'))
      try {
        cpSync(join(root, 'src'), join(folder, 'src'), { recursive: true })
        writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
        mkdirSync(join(folder, 'node_modules'))
        for (const name of ['pino', 'pino-pretty', 'prom-client']) {
          symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name))
        }
        const program = `
        import { ${open} } from './src/kms/${provider}/open.ts'
        import { silentTelemetry } from './src/base/telemetry.ts'
        const options = JSON.parse(process.argv[2])
        const checks = Object.entries(await import('./src/kms/${loader}.ts'))
        const [, check] = checks.find(([name]) => name.startsWith('check'))
        const lines = []
        try { check() } catch (error) { lines.push(error.message) }
        await ${open}({ ...options, tenantKeyMapping: new Map(), log: silentTelemetry().log }).catch((error) =>
          lines.push(error.message))
        console.log(JSON.stringify(lines))`
        writeFileSync(join(folder, 'main.ts'), program)
        const { log: _, tenantKeyMapping: __, ...plain } = options
        const { stdout } = await promisify(execFile)(process.execPath, ['main.ts', JSON.stringify(plain)], {
          cwd: folder,
        })
        const [checked, opened] = JSON.parse(stdout) as string[] // printed by the program above
        expect(checked).toContain(command)
        expect(opened).toBe(checked)
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    },
  )
})
