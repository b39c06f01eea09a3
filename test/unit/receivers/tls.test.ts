import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { credentials } from '@grpc/grpc-js'
import { afterAll, describe, expect, test } from 'vitest'
import { loadSecureContext, type TlsServerOptions } from '../../../src/receivers/tls.ts'
import {
  grpcClient,
  type HarnessOptions,
  post,
  refused,
  send,
  startReceivers,
  testdata,
  traceBytes,
} from './harness.ts'

const ca = readFileSync(testdata('ca.pem'))
const folder = mkdtempSync(join(tmpdir(), 'betrace-tls-'))
afterAll(() => rmSync(folder, { recursive: true }))

const SERVER: TlsServerOptions = { certFile: testdata('server.pem'), keyFile: testdata('server.key') }
const MUTUAL: TlsServerOptions = { ...SERVER, clientCaFile: testdata('ca.pem') }
const both = (tls: TlsServerOptions): HarnessOptions => ({ http: { tls }, grpc: { tls } })
const pair = (name: string) => ({
  cert: readFileSync(testdata(`${name}.pem`)),
  key: readFileSync(testdata(`${name}.key`)),
})

async function overGrpc(port: number, client?: { cert: Buffer; key: Buffer }): Promise<string | number> {
  const channel = grpcClient(port, credentials.createSsl(ca, client?.key ?? null, client?.cert ?? null))
  const outcome = await send(channel, traceBytes(5)).then(
    () => 'OK',
    (error: { code: number }) => error.code,
  )
  channel.close()
  return outcome
}

async function overHttp(port: number, client?: { cert: Buffer; key: Buffer }): Promise<string | number> {
  const outcome = post(port, { body: traceBytes(5), tls: { ca, ...client } })
  return outcome.then(
    ({ status }) => status,
    () => 'cut',
  )
}

describe('TLS', () => {
  test('both transports serve it, and nothing without it', async () => {
    await using harness = await startReceivers(both(SERVER))
    expect(await overHttp(harness.httpPort)).toBe(200)
    expect(await overGrpc(harness.grpcPort)).toBe('OK')
    await expect(post(harness.httpPort, { body: traceBytes(5) })).rejects.toThrow()
    const plain = grpcClient(harness.grpcPort)
    expect((await refused(send(plain, traceBytes(5), { deadlineMs: 2_000 }))).code).toBe(14)
    plain.close()
    expect(harness.seen.length).toBe(2)
  })

  test.each([
    ['TLSv1.1', undefined, false],
    ['TLSv1.2', undefined, true],
    ['TLSv1.2', 'TLSv1.3', false],
    ['TLSv1.3', 'TLSv1.3', true],
  ] as const)('a client of %s with a minimum of %s connects: %s', async (version, minVersion, isTaken) => {
    await using harness = await startReceivers(both({ ...SERVER, minVersion }))
    for (const port of [harness.httpPort, harness.grpcPort]) {
      expect(await handshake(port, { minVersion: version, maxVersion: version })).toBe(isTaken)
    }
  })
})

describe('mutual TLS', () => {
  test.each([
    ['a client of our authority', pair('client'), 200, 'OK'],
    ['no certificate', undefined, 'cut', 14],
    ["somebody else's client", pair('stranger'), 'cut', 14],
  ])('%s', async (_name, client, http, grpc) => {
    await using harness = await startReceivers(both(MUTUAL))
    expect(await overHttp(harness.httpPort, client)).toBe(http)
    expect(await overGrpc(harness.grpcPort, client)).toBe(grpc)
  })

  test.each([
    ['cn', 'acme'],
    ['san', 'acme-by-name'],
  ] as const)('the %s of the certificate can name the tenant, over both', async (certificate, tenant) => {
    await using harness = await startReceivers({ ...both(MUTUAL), tenants: { certificate } })
    await overHttp(harness.httpPort, pair('client'))
    await overGrpc(harness.grpcPort, pair('client'))
    expect(harness.seen.map((request) => request.tenant)).toEqual([tenant, tenant])
  })
})

describe('files', () => {
  const missing = join(folder, 'missing.pem')
  const garbage = join(folder, 'garbage.pem')
  writeFileSync(garbage, 'not a certificate')

  test.each([
    ['a missing certificate', { ...SERVER, certFile: missing }, 'x.tls.cert_file: cannot be read'],
    ['a missing key', { ...SERVER, keyFile: missing }, 'x.tls.key_file: cannot be read'],
    ['a missing client CA', { ...SERVER, clientCaFile: missing }, 'x.tls.client_ca_file: cannot be read'],
    ['a certificate that is none', { ...SERVER, certFile: garbage }, 'x.tls.cert_file: holds no certificate'],
    ['a key that is none', { ...SERVER, keyFile: garbage }, 'x.tls.key_file: holds no private key'],
    [
      'a client CA that is none',
      { ...SERVER, clientCaFile: garbage },
      'x.tls.client_ca_file: holds no certificate',
    ],
    [
      "another certificate's key",
      { ...SERVER, keyFile: testdata('client.key') },
      'x.tls.key_file: is not the key of cert_file',
    ],
  ])('%s is one line that names the setting', (_name, options, message) => {
    expect(() => loadSecureContext(options, 'x.tls')).toThrow(
      expect.objectContaining({ code: 'CONFIG', message }),
    )
  })

  test('that change are served without a restart, and a set that does not fit is not', async () => {
    const certFile = join(folder, 'live.pem')
    const keyFile = join(folder, 'live.key')
    copyFileSync(testdata('server.pem'), certFile)
    copyFileSync(testdata('server.key'), keyFile)
    await using harness = await startReceivers(both({ certFile, keyFile, reloadIntervalMs: 10 }))
    const ports = [harness.httpPort, harness.grpcPort]
    const first = await Promise.all(ports.map(fingerprint))
    // Only half of the pair is new: the old one stays.
    copyFileSync(testdata('renewed.pem'), certFile)
    expect(await Promise.all(ports.map(fingerprint))).toEqual(first)
    copyFileSync(testdata('renewed.key'), keyFile)
    for (const port of ports) {
      const endMs = performance.now() + 5_000
      while ((await fingerprint(port)) === first[0]) expect(performance.now()).toBeLessThan(endMs)
    }
  })
})

describe('cipher suites', () => {
  test.each([
    ['ECDHE-RSA-AES128-GCM-SHA256', true],
    ['ECDHE-RSA-CHACHA20-POLY1305', true],
    ['ECDHE-RSA-AES128-SHA256', false],
    ['ECDHE-RSA-AES256-SHA', false],
    ['AES128-GCM-SHA256', false],
    ['AES256-SHA', false],
  ])('of TLS 1.2, %s is offered: %s', async (suite, isTaken) => {
    await using harness = await startReceivers(both(SERVER))
    const only = { maxVersion: 'TLSv1.2', ciphers: `${suite}:@SECLEVEL=0` }
    const ecdsa = { ...only, ciphers: `${suite.replace('-RSA-', '-ECDSA-')}:@SECLEVEL=0` }
    for (const port of [harness.httpPort, harness.grpcPort])
      expect((await handshake(port, only)) || (await handshake(port, ecdsa))).toBe(isTaken)
  })
})

function handshake(port: number, options: object): Promise<boolean> {
  return new Promise((resolve) => {
    const ciphers = 'DEFAULT@SECLEVEL=0'
    const socket = connect({
      port,
      host: '127.0.0.1',
      ca,
      servername: 'localhost',
      ciphers,
      ALPNProtocols: ['h2', 'http/1.1'],
      ...options,
    })
    socket.on('secureConnect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

function fingerprint(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect(
      { port, host: '127.0.0.1', ca, servername: 'localhost', ALPNProtocols: ['h2', 'http/1.1'] },
      () => {
        resolve(socket.getPeerCertificate().fingerprint256)
        socket.destroy()
      },
    )
    socket.on('error', reject)
  })
}
