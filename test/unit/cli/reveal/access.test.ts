// That `reveal` reaches the key service by the way that the environment prescribes, as the sidecar does.
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { resolve } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { revealAccess } from '../../../../src/cli/reveal/access.ts'
import { recordingIo } from '../io.ts'

const CONFIG = resolve(import.meta.dirname, '../../../../collector-config.yaml')
const AZURE = ['vault_uri=https://v.vault.azure.net', 'key_name=k', 'tenant_id=t', 'client_id=c']

afterEach(() => vi.unstubAllEnvs())

test('a proxy that stands in the environment is asked for the way to Azure', async () => {
  const heads: string[] = []
  const proxy = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (head) => {
      heads.push(head.toString('latin1').split('\r\n')[0]!)
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
    })
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  // The client library reads the variable from the process itself.
  const HTTPS_PROXY = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  vi.stubEnv('HTTPS_PROXY', HTTPS_PROXY)
  const { io } = recordingIo({ HTTPS_PROXY })
  const sets = [
    'kms.provider=azure',
    'kms.request.max_attempts=1',
    'kms.azure.client_secret=s',
    ...AZURE.map((text) => `kms.azure.${text}`),
  ]
  const configArgv = ['--config', CONFIG, ...sets.flatMap((set) => ['--set', set])]
  const access = await revealAccess({ keyFile: undefined, configArgv }, io)
  try {
    await expect(access.kms.describe(AbortSignal.timeout(10_000))).rejects.toThrow('key service')
  } finally {
    await access.close()
    proxy.close()
  }
  expect(heads).toContain('CONNECT v.vault.azure.net:443 HTTP/1.1')
})
