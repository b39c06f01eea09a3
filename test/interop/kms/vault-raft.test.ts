// A server with its data on disk, TLS and client certificates: sealed, crashed and started again under us.
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { GeneratedDataKey, Kms } from '../../../src/keys/kms.ts'
import { openVaultKms } from '../../../src/keys/providers/vault.ts'
import type { VaultKmsOptions } from '../../../src/keys/providers/vault-options.ts'
import { until } from '../service-process.ts'
import { CONTEXT, never, roundTrip } from './expectations.ts'
import { makeCertificates, OpenBao } from './vault-server.ts'
import { optionsFor, policyFor } from './vault-target.ts'

const folder = mkdtempSync(join(tmpdir(), 'betrace-vault-raft-'))
const file = (name: string) => join(folder, name)
let server: OpenBao
let token = ''

beforeAll(async () => {
  makeCertificates(folder) // of another authority than the server's
  server = await OpenBao.start('raft')
  await server.must('POST', 'sys/mounts/transit', { type: 'transit' })
  await server.must('POST', 'transit/keys/default', { derived: true })
  await server.must('PUT', 'sys/policies/acl/sidecar', { policy: policyFor('*') })
  const { auth } = await server.must('POST', 'auth/token/create', { policies: ['sidecar'], ttl: '1h' })
  token = String(auth!.client_token)
})

afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

test('works over TLS with the authority and the client certificate that are named', () =>
  withVault(trusted(), (kms) => roundTrip(kms)))

const STRANGERS = {
  'an authority that did not sign the server': () => ({ ...trusted(), caFile: file('ca.pem') }),
  'the authorities of the system': () => ({ ...trusted(), caFile: undefined }),
  'no client certificate': () => ({ ...trusted(), clientCertFile: undefined, clientKeyFile: undefined }),
  'a client certificate of another authority': () => ({
    ...trusted(),
    clientCertFile: file('client.pem'),
    clientKeyFile: file('client.key'),
  }),
}
for (const [name, options] of Object.entries(STRANGERS)) {
  test(`${name}: a network failure`, () =>
    withVault(options(), (kms) =>
      expect(kms.generateDataKey(CONTEXT, never)).rejects.toMatchObject({
        kmsClass: 'network',
        operation: 'generate_data_key',
      }),
    ))
}

test('certificates that are replaced on disk are taken up without a restart', async () => {
  const [caFile, clientCertFile, clientKeyFile] = [file('my-ca.pem'), file('my.pem'), file('my.key')]
  const copies = [
    [file('ca.pem'), server.caFile, caFile],
    [file('client.pem'), server.clientCertFile, clientCertFile],
    [file('client.key'), server.clientKeyFile, clientKeyFile],
  ] as const
  for (const [stranger, , mine] of copies) copyFileSync(stranger, mine)
  await withVault({ ...trusted(), caFile, clientCertFile, clientKeyFile }, async (kms) => {
    await expect(kms.generateDataKey(CONTEXT, never)).rejects.toMatchObject({ kmsClass: 'network' })
    for (const [, right, mine] of copies) copyFileSync(right, mine)
    await until('the new files are in use', () =>
      roundTrip(kms).then(
        () => true,
        () => false,
      ),
    )
  })
})

test('a sealed server is a network failure, retryable, and what was wrapped opens when it is back', async () => {
  await withVault(trusted(), async (kms) => {
    const key = await kms.generateDataKey(CONTEXT, never)
    await server.must('PUT', 'sys/seal')
    const calls = [() => kms.generateDataKey(CONTEXT, never), () => open(kms, key), () => kms.describe(never)]
    for (const call of calls) {
      await expect(call()).rejects.toMatchObject({
        kmsClass: 'network',
        isRetryable: true,
        providerMessage: 'Vault is sealed (HTTP 503)',
      })
    }
    // This seal opens itself, but only when the process starts.
    await restart(kms, key)
  })
})

test('a sidecar that starts while the server is sealed says so and works when it is back', async () => {
  await server.must('PUT', 'sys/seal')
  await withVault(trusted(), async (kms) => {
    await expect(kms.generateDataKey(CONTEXT, never)).rejects.toMatchObject({ kmsClass: 'network' })
    await server.kill()
    await server.run()
    await until('the server is active', () =>
      roundTrip(kms).then(
        () => true,
        () => false,
      ),
    )
  })
})

test('a server that crashed is a network failure until it is back, with the same client', async () => {
  await withVault(trusted(), async (kms) => {
    const key = await kms.generateDataKey(CONTEXT, never)
    await Promise.all(Array.from({ length: 20 }, () => roundTrip(kms)))
    await restart(kms, key)
  })
})

async function restart(kms: Kms, key: GeneratedDataKey): Promise<void> {
  await server.kill()
  await expect(kms.generateDataKey(CONTEXT, never)).rejects.toMatchObject({ kmsClass: 'network' })
  await server.run()
  // A node that starts is a standby with a dead leader at first, and answers 500.
  await until('the server is active', async () => {
    const answer = await kms.generateDataKey(CONTEXT, never).catch((error: unknown) => error)
    if (answer instanceof Error) expect(answer).toMatchObject({ kmsClass: 'network' })
    return !(answer instanceof Error)
  })
  expect(Buffer.compare(await open(kms, key), key.plaintext)).toBe(0)
}

function open(kms: Kms, key: GeneratedDataKey): Promise<Uint8Array> {
  return kms.unwrap(key.wrapped, key.masterKeyId, CONTEXT, never)
}

function trusted(): VaultKmsOptions {
  return {
    ...optionsFor(server, token),
    caFile: server.caFile,
    clientCertFile: server.clientCertFile,
    clientKeyFile: server.clientKeyFile,
  }
}

async function withVault(options: VaultKmsOptions, use: (kms: Kms) => Promise<unknown>): Promise<void> {
  const kms = await openVaultKms(options)
  try {
    await use(kms)
  } finally {
    await kms.close()
  }
}
