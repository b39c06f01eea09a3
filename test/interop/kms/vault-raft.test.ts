// A server with its data on disk, TLS and client certificates: sealed, crashed and started again under us.
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { GeneratedDataKey, Kms } from '../../../src/kms/kms.ts'
import { until } from '../service-process.ts'
import { CONTEXT, never, roundTrip } from './expectations.ts'
import { VaultRig } from './vault-rig.ts'
import { makeCertificates } from './vault-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'betrace-vault-raft-'))
const file = (name: string) => join(folder, name)
let rig: VaultRig

beforeAll(async () => {
  makeCertificates(folder) // of another authority than the server's
  rig = await VaultRig.start('raft')
})

afterAll(async () => {
  await rig.stop()
  rmSync(folder, { recursive: true, force: true })
})

test('works over TLS with the authority and the client certificate that are named', () =>
  rig.withKms({}, (kms) => roundTrip(kms)))

const STRANGERS = {
  'an authority that did not sign the server': () => ({ caFile: file('ca.pem') }),
  'the authorities of the system': () => ({ caFile: undefined }),
  'no client certificate': () => ({ clientCertFile: undefined, clientKeyFile: undefined }),
  'a client certificate of another authority': () => ({
    clientCertFile: file('client.pem'),
    clientKeyFile: file('client.key'),
  }),
}
for (const [name, options] of Object.entries(STRANGERS)) {
  test(`${name}: a network failure`, () =>
    rig.withKms(options(), (kms) =>
      expect(kms.generateDataKey(CONTEXT, never)).rejects.toMatchObject({
        kmsClass: 'network',
        operation: 'generate_data_key',
      }),
    ))
}

test('certificates that are replaced on disk are taken up without a restart', async () => {
  const [caFile, clientCertFile, clientKeyFile] = [file('my-ca.pem'), file('my.pem'), file('my.key')]
  const copies = [
    [file('ca.pem'), rig.server.caFile, caFile],
    [file('client.pem'), rig.server.clientCertFile, clientCertFile],
    [file('client.key'), rig.server.clientKeyFile, clientKeyFile],
  ] as const
  for (const [stranger, , mine] of copies) copyFileSync(stranger, mine)
  await rig.withKms({ caFile, clientCertFile, clientKeyFile }, async (kms) => {
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
  await rig.withKms({}, async (kms) => {
    const key = await kms.generateDataKey(CONTEXT, never)
    await rig.server.must('PUT', 'sys/seal')
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
  await rig.server.must('PUT', 'sys/seal')
  await rig.withKms({}, async (kms) => {
    await expect(kms.generateDataKey(CONTEXT, never)).rejects.toMatchObject({ kmsClass: 'network' })
    await rig.server.kill()
    await rig.server.run()
    await until('the server is active', () =>
      roundTrip(kms).then(
        () => true,
        () => false,
      ),
    )
  })
})

test('a server that crashed is a network failure until it is back, with the same client', async () => {
  await rig.withKms({}, async (kms) => {
    const key = await kms.generateDataKey(CONTEXT, never)
    await Promise.all(Array.from({ length: 20 }, () => roundTrip(kms)))
    await restart(kms, key)
  })
})

async function restart(kms: Kms, key: GeneratedDataKey): Promise<void> {
  await rig.server.kill()
  await expect(kms.generateDataKey(CONTEXT, never)).rejects.toMatchObject({ kmsClass: 'network' })
  await rig.server.run()
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
