// Every PEM file of the configuration, damaged in each way: a start says which setting, whichever part reads it, and never
// goes on with a list of authorities that OpenSSL would pass over in silence.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { loadClientTls } from '../../../src/exporters/client-tls.ts'
import { readCaFile } from '../../../src/kms/ca-file.ts'
import { loadVaultTls } from '../../../src/kms/vault/tls.ts'
import { loadSecureContext } from '../../../src/receivers/tls.ts'
import { testdata } from '../receivers/harness.ts'

const folder = mkdtempSync(join(tmpdir(), 'betrace-damaged-'))
afterAll(() => rmSync(folder, { recursive: true }))

const [CERT, KEY, CA] = [testdata('server.pem'), testdata('server.key'), testdata('ca.pem')]
const DAMAGES: Readonly<Record<string, (pem: Buffer) => Buffer | undefined>> = {
  missing: () => undefined,
  empty: () => Buffer.alloc(0),
  cut: (pem) => pem.subarray(0, pem.length >> 1),
  garbage: () => Buffer.from(Array.from({ length: 300 }, (_, index) => (index * 37) & 255)),
  'one that is whole and one that is cut': (pem) => Buffer.concat([pem, pem.subarray(0, pem.length >> 1)]),
}

type Load = (path: string) => unknown
const NONE = { caFile: undefined, clientCertFile: undefined, clientKeyFile: undefined }
const FILES: readonly (readonly [setting: string, whole: string, load: Load])[] = [
  ['x.tls.cert_file', CERT, (certFile) => loadSecureContext({ certFile, keyFile: KEY }, 'x.tls')],
  ['x.tls.key_file', KEY, (keyFile) => loadSecureContext({ certFile: CERT, keyFile }, 'x.tls')],
  [
    'x.tls.client_ca_file',
    CA,
    (clientCaFile) => loadSecureContext({ certFile: CERT, keyFile: KEY, clientCaFile }, 'x.tls'),
  ],
  [
    'exporters.x.tls',
    CERT,
    (certFile) => loadClientTls({ insecure: false, certFile, keyFile: KEY }, 'exporters.x.tls'),
  ],
  [
    'exporters.x.tls',
    KEY,
    (keyFile) => loadClientTls({ insecure: false, certFile: CERT, keyFile }, 'exporters.x.tls'),
  ],
  ['exporters.x.tls.ca_file', CA, (caFile) => loadClientTls({ insecure: false, caFile }, 'exporters.x.tls')],
  ['kms.gcp.ca_file', CA, (path) => readCaFile('gcp', path)],
  ['kms.azure.ca_file', CA, (path) => readCaFile('azure', path)],
  ['kms.vault.ca_file', CA, (caFile) => loadVaultTls({ ...NONE, caFile })],
]

describe.each(FILES)('%s, %s', (setting, whole, load) => {
  test('whole, it loads', async () => {
    await expect((async () => load(whole))()).resolves.toBeDefined()
  })

  // Of a certificate or a key the first is ours, and what follows it the chain.
  const damages = Object.entries(DAMAGES).filter(([name]) => whole === CA || !name.startsWith('one that'))
  test.each(damages)('%s: named', async (name, damage) => {
    const path = join(folder, `${name.replaceAll(' ', '-')}.pem`)
    rmSync(path, { force: true })
    const bytes = damage(readFileSync(whole))
    if (bytes !== undefined) writeFileSync(path, bytes)
    const loading = (async () => load(path))()
    await expect(loading).rejects.toMatchObject({ code: 'CONFIG', message: expect.stringContaining(setting) })
  })
})
