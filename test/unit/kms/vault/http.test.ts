// One exchange with a server that behaves badly, and when a call is tried again.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { inspect } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { silentTelemetry } from '../../../../src/base/telemetry.ts'
import { KmsError } from '../../../../src/kms/kms.ts'
import { VaultClient } from '../../../../src/kms/vault/client.ts'
import { VaultHttp } from '../../../../src/kms/vault/http.ts'
import { VaultSession } from '../../../../src/kms/vault/session.ts'
import { errors, ManualTimers, ScriptedVault } from './scripted.ts'

const never = new AbortController().signal
const MIB = 1024 * 1024
const NO_FILES = { caFile: undefined, clientCertFile: undefined, clientKeyFile: undefined }
const GET = { method: 'GET', path: 'x', headers: {} } as const
const open: { close(): void }[] = []

afterEach(() => {
  for (const one of open.splice(0)) one.close()
})

describe('an exchange', () => {
  test('carries what it is given and returns what it gets', async () => {
    await using vault = await ScriptedVault.start(() => ({
      status: 418,
      headers: { 'retry-after': '7' },
      body: { a: 1 },
    }))
    const http = await httpTo(`${vault.url}/prefix/`)
    const request = {
      method: 'POST',
      path: 'transit/encrypt/k',
      headers: { 'X-Vault-Token': 't' },
      body: { b: 'ü' },
    } as const
    expect(await http.send('encrypt', request, never)).toEqual({
      status: 418,
      retryAfterMs: 7_000,
      body: { a: 1 },
    })
    expect(vault.asked).toEqual([
      {
        method: 'POST',
        path: '/prefix/v1/transit/encrypt/k',
        token: 't',
        namespace: undefined,
        body: { b: 'ü' },
      },
    ])
  })

  const bodies = {
    nothing: ['', undefined],
    text: ['oops', undefined],
    'half an object': ['{"data":{"plaintext":"AAAA', undefined],
    'two objects': ['{}{}', undefined],
    'bytes that are no UTF-8': ['"\xff"', undefined],
    'deep nesting': ['['.repeat(100_000), undefined],
    null: ['null', null],
  } as const
  for (const [name, [body, parsed]] of Object.entries(bodies)) {
    test(`${name} as a body is ${parsed === null ? 'that' : 'no body'}`, async () => {
      await using vault = await ScriptedVault.start(() => undefined)
      vault.script = (_, { response }) => {
        response.end(Buffer.from(body, 'latin1'))
        return undefined
      }
      const answer = await (await httpTo(vault.url)).send('encrypt', GET, never)
      if (name === 'bytes that are no UTF-8') expect(answer.body).toBe('\ufffd')
      else expect(answer.body).toBe(parsed)
    })
  }

  for (const [name, bytes, fails] of [
    ['1 MiB', MIB, false],
    ['1 MiB and a byte', MIB + 1, true],
  ] as const) {
    test(`an answer of ${name} is ${fails ? 'refused' : 'taken'}`, async () => {
      await using vault = await ScriptedVault.start(() => ({
        status: 200,
        body: `"${'a'.repeat(bytes - 2)}"`,
      }))
      const call = (await httpTo(vault.url)).send('encrypt', GET, never)
      if (fails) await expectError(call, 'network', 'answer is larger than 1 MiB')
      else expect((await call).body).toHaveLength(MIB - 2)
    })
  }

  test('an answer without end is refused at its bound, whatever length it claims', async () => {
    await using vault = await ScriptedVault.start((_, { response }) => {
      const pour = (): void => {
        while (response.write(Buffer.alloc(64 * 1024, 'a')));
        response.once('drain', pour)
      }
      pour()
      return undefined
    })
    await expectError((await httpTo(vault.url)).send('encrypt', GET, never), 'network', 'answer is larger')
  })

  test('an answer that trickles is over when the time is', async () => {
    await using vault = await ScriptedVault.start((_, { response }) => {
      response.write('{')
      const timer = setInterval(() => response.write(' '), 5)
      response.on('close', () => clearInterval(timer))
      return undefined
    })
    const http = await httpTo(vault.url, { timeoutMs: 100 })
    await expectError(http.send('encrypt', GET, never), 'timeout', 'No response after 100ms')
  })

  test('a redirect is an answer, and is not followed with the token', async () => {
    await using other = await ScriptedVault.start(() => ({ status: 200, body: {} }))
    await using vault = await ScriptedVault.start(() => ({
      status: 307,
      headers: { location: `${other.url}/v1/x` },
    }))
    expect((await (await httpTo(vault.url)).send('encrypt', GET, never)).status).toBe(307)
    expect(other.asked).toEqual([])
  })

  test('what is not HTTP is a network failure that holds none of it', async () => {
    const server = createServer((socket: Socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end('plaintext":"c2VjcmV0LWRhdGEta2V5"\r\n\r\n'))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    open.push(server)
    const { port } = server.address() as AddressInfo // listens on TCP, so never a path
    const call = (await httpTo(`http://127.0.0.1:${port}`)).send('encrypt', GET, never)
    const error = await expectError(call, 'network', 'Parse Error')
    const everything = inspect(error, { depth: 12, showHidden: true })
    expect(everything).not.toContain('c2VjcmV0')
    expect(everything).not.toContain(Buffer.from('c2VjcmV0').toString('hex').match(/../g)!.join(' '))
  })

  test('a caller that gives up is answered at once, and the connection is given up', async () => {
    let isClosed: Promise<unknown> | undefined
    await using vault = await ScriptedVault.start((_, { response }) => {
      isClosed = once(response, 'close')
      caller.abort()
      return undefined
    })
    const caller = new AbortController()
    const call = (await httpTo(vault.url)).send('encrypt', GET, caller.signal)
    await expectError(call, 'timeout', 'in the time that the caller had')
    await isClosed
    await expectError((await httpTo(vault.url)).send('encrypt', GET, AbortSignal.abort()), 'timeout', '')
    expect(vault.asked).toHaveLength(1)
  })

  test('a kept connection that the server closed under a request is replaced, once', async () => {
    await using vault = await ScriptedVault.start(() => ({ status: 200, body: {} }))
    const http = await httpTo(vault.url)
    await http.send('encrypt', GET, never)
    let dropped = 0
    vault.script = (_, { request }) => {
      if (dropped++ > 0) return { status: 201, body: {} }
      request.socket.destroy()
      return undefined
    }
    expect((await http.send('encrypt', GET, never)).status).toBe(201)
    expect(dropped).toBe(2)
    vault.script = (_, { request }) => {
      dropped++
      request.socket.destroy()
      return undefined
    }
    await expectError(http.send('encrypt', GET, never), 'network', '')
    expect(dropped).toBe(4)
  })
})

describe('trying again', () => {
  const attempts = [
    ['a broken server', errors(500, 'internal error'), 3, 'network'],
    ['a sealed server', errors(503, 'Vault is sealed'), 3, 'network'],
    ['throttling', errors(429, 'rate limit quota exceeded'), 3, 'throttled'],
    [
      'throttling with a short pause',
      { ...errors(429, 'q'), headers: { 'retry-after': '0' } },
      3,
      'throttled',
    ],
    [
      'throttling with a long pause',
      { ...errors(429, 'q'), headers: { 'retry-after': '2' } },
      1,
      'throttled',
    ],
    ['an answer that is none', { status: 200, body: 'oops' }, 3, 'network'],
    ['an answer without data', { status: 200, body: {} }, 3, 'network'],
    ['a denial', errors(403, 'permission denied'), 1, 'access_denied'],
    ['a key that is not there', errors(404), 1, 'key_not_found'],
    ['a wrong context', errors(400, 'cipher: message authentication failed'), 1, 'invalid_ciphertext'],
  ] as const
  for (const [name, answer, count, kmsClass] of attempts) {
    test(`${name}: ${count} ${count === 1 ? 'attempt' : 'attempts'}`, async () => {
      await using vault = await ScriptedVault.start(() => answer)
      const client = await clientTo(vault.url)
      await expectError(client.call(CALL, never), kmsClass, '')
      expect(vault.paths.filter((path) => path === 'x')).toHaveLength(count)
    })
  }

  test('the second attempt may succeed', async () => {
    let count = 0
    await using vault = await ScriptedVault.start(() =>
      count++ === 0 ? errors(500) : { status: 200, body: { data: { a: 1 } } },
    )
    expect(await (await clientTo(vault.url)).call(CALL, never)).toEqual({ a: 1 })
  })

  test('a pause that the server asks for reaches the caller', async () => {
    await using vault = await ScriptedVault.start(() => ({
      ...errors(429),
      headers: { 'retry-after': '30' },
    }))
    const error = await expectError((await clientTo(vault.url)).call(CALL, never), 'throttled', '')
    expect(error.retryAfterMs).toBe(30_000)
  })

  test('a caller that gives up between two attempts hears of the first', async () => {
    await using vault = await ScriptedVault.start(() => {
      setTimeout(() => caller.abort(), 20)
      return errors(503, 'Vault is sealed')
    })
    const caller = new AbortController()
    const call = (await clientTo(vault.url)).call(CALL, caller.signal)
    await expectError(call, 'network', 'Vault is sealed')
    expect(vault.paths).toHaveLength(1)
  })
})

const CALL = { operation: 'encrypt', method: 'GET', path: 'x', headers: {} } as const

async function httpTo(url: string, changes: { timeoutMs?: number } = {}): Promise<VaultHttp> {
  const address = new URL(url)
  const http = await VaultHttp.open({
    address,
    tlsFiles: NO_FILES,
    connectTimeoutMs: 1_000,
    timeoutMs: 5_000,
    ...changes,
  })
  open.push(http)
  return http
}

/** A client whose token is given, so that nothing but its calls reaches the server. */
async function clientTo(url: string): Promise<VaultClient> {
  const http = await httpTo(url)
  const timers = new ManualTimers()
  const session = new VaultSession({
    http,
    login: {
      method: 'token',
      ownsToken: false,
      isRepeatable: false,
      login: async () => ({ text: 't', leaseMs: 0, isRenewable: false }),
    },
    namespace: undefined,
    log: silentTelemetry().log,
    monotonicMs: timers.monotonicMs,
    random: () => 0,
    schedule: timers.schedule,
  })
  return new VaultClient({ http, session, attemptsMax: 3, random: () => 0 })
}

async function expectError(call: Promise<unknown>, kmsClass: string, text: string): Promise<KmsError> {
  const thrown: unknown = await call.then(
    () => expect.fail(`succeeded, and had to fail with ${kmsClass}`),
    (error: unknown) => error,
  )
  expect(thrown).toBeInstanceOf(KmsError)
  const error = thrown as KmsError // asserted the line above
  expect(error).toMatchObject({ kmsClass, operation: 'encrypt' })
  expect(error.providerMessage).toContain(text)
  return error
}
