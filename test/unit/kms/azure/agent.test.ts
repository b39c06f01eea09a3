import { createServer, type RequestOptions, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { TimedAgent } from '../../../../src/kms/azure/agent.ts'
import { startBrokenTls } from '../../../interop/kms/broken-tls.ts'
import { testCertificate } from '../../../interop/kms/fault-proxy.ts'

/** A busy machine takes its time for a handshake. */
const CONNECT_MS = 1_000

/** The answer's text, or the error's code. */
function ask(url: string, agent: TimedAgent, more: RequestOptions = {}): Promise<string> {
  return new Promise((resolve) => {
    const outgoing = request(url, { agent, ...more }, (answer) => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (part: string) => {
        text += part
      })
      answer.on('end', () => resolve(text))
    })
    outgoing.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'no code'))
    outgoing.end()
  })
}

test('a handshake that is never answered is given up in time', async () => {
  const silent = await startBrokenTls('silent')
  const agent = new TimedAgent(CONNECT_MS, {})
  const startMs = performance.now()
  expect(await ask(silent.url, agent)).toBe('ETIMEDOUT')
  const tookMs = performance.now() - startMs
  expect(tookMs).toBeGreaterThan(CONNECT_MS - 20)
  expect(tookMs).toBeLessThan(10 * CONNECT_MS)
  agent.destroy()
  await silent.close()
})

test('an answer may take longer than connecting may, and the connection is used again', async () => {
  const certificate = testCertificate()
  const ports = new Set<number | undefined>()
  const server = createServer({ key: certificate.key, cert: certificate.cert }, (incoming, outgoing) => {
    ports.add(incoming.socket.remotePort)
    setTimeout(() => outgoing.end('late'), 2 * CONNECT_MS)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo // listens on TCP, so never a path
  const agent = new TimedAgent(CONNECT_MS, { ca: certificate.ca })
  for (let round = 0; round < 2; round++) expect(await ask(`https://127.0.0.1:${port}`, agent)).toBe('late')
  expect(ports.size).toBe(1)
  agent.destroy()
  await new Promise((resolve) => server.close(resolve))
})

test('a certificate that the given authorities did not sign is refused', async () => {
  const broken = await startBrokenTls('untrusted')
  const agent = new TimedAgent(CONNECT_MS, {})
  expect(await ask(broken.url, agent)).toMatch(/SELF_SIGNED|UNABLE_TO_VERIFY/)
  agent.destroy()
  await broken.close()
})
