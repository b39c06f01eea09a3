// The proxy itself: a test of a fault proves nothing when the fault does not happen.
import { once } from 'node:events'
import { type Agent, request, Server } from 'node:http'
import { request as requestTls, type Agent as TlsAgent, Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startBrokenTls } from './broken-tls.ts'
import { FaultProxy, type FaultProxyOptions, testCertificate } from './fault-proxy.ts'

const BODY = 'x'.repeat(1_000)
const { key, cert, ca } = testCertificate()
const plain = new Server((incoming, outgoing) => {
  const chunks: Buffer[] = []
  incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
  incoming.on('end', () => {
    outgoing.setHeader('x-upstream', 'yes')
    outgoing.end(Buffer.concat(chunks).toString() + BODY)
  })
})
const secure = new TlsServer({ key, cert }, (incoming, outgoing) => plain.emit('request', incoming, outgoing))

async function listen(server: Server | TlsServer): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port // listens on TCP, so never a path
}

let ports: Record<'plain' | 'secure', number>
beforeAll(async () => {
  ports = { plain: await listen(plain), secure: await listen(secure) }
})
afterAll(() => {
  for (const server of [plain, secure]) {
    server.closeAllConnections()
    server.close()
  }
})

let proxy: FaultProxy
afterEach(() => proxy?.close())

interface Got {
  readonly status?: number
  readonly body: string
  readonly isUpstream?: boolean
  readonly error?: string
}

/** One POST on a connection of its own. What it ended with, and what had come until then. */
function post(url: string, patienceMs = 2_000): Promise<Got> {
  const send = url.startsWith('https:') ? requestTls : request
  return new Promise((done) => {
    const options: { agent: false; method: string; ca: string } & { agent: false | Agent | TlsAgent } = {
      agent: false,
      method: 'POST',
      ca,
    }
    let got: Got = { body: '' }
    const end = (error?: string): void => done(error === undefined ? got : { ...got, error })
    const outgoing = send(url, options, (answer) => {
      got = { status: answer.statusCode!, body: '', isUpstream: answer.headers['x-upstream'] === 'yes' }
      answer.on('data', (chunk: Buffer) => (got = { ...got, body: got.body + chunk.toString() }))
      answer.on('end', () => end())
      answer.on('error', (error: NodeJS.ErrnoException) => end(error.code))
    })
    outgoing.on('error', (error: NodeJS.ErrnoException) => end(error.code))
    setTimeout(() => {
      end('patience')
      outgoing.destroy()
    }, patienceMs).unref()
    outgoing.end('hello')
  })
}

const layers: Record<string, () => FaultProxyOptions> = {
  'layer http': () => ({ upstream: `http://127.0.0.1:${ports.plain}`, layer: 'http' }),
  'layer http under TLS': () => ({
    upstream: `https://127.0.0.1:${ports.secure}`,
    layer: 'http',
    tls: { key, cert, upstreamCa: ca },
  }),
  'layer http, TLS to the client only': () => ({
    upstream: `http://127.0.0.1:${ports.plain}`,
    layer: 'http',
    tls: { key, cert },
  }),
  'layer tcp': () => ({ upstream: `http://127.0.0.1:${ports.plain}`, layer: 'tcp' }),
  'layer tcp that carries TLS': () => ({ upstream: `https://127.0.0.1:${ports.secure}`, layer: 'tcp' }),
}
for (const [name, options] of Object.entries(layers)) {
  describe(name, () => {
    const isHttp = name.startsWith('layer http')
    const isTls = name.includes('TLS')

    test('without a fault is the server itself', async () => {
      proxy = await FaultProxy.start(options())
      expect(await post(proxy.url)).toEqual({ status: 200, body: `hello${BODY}`, isUpstream: true })
      expect(proxy.count).toBe(1)
    })

    test('latency delays', async () => {
      proxy = await FaultProxy.start(options())
      proxy.set({ kind: 'latency', ms: 150 })
      const startMs = performance.now()
      expect((await post(proxy.url)).body).toBe(`hello${BODY}`)
      expect(performance.now() - startMs).toBeGreaterThan(140)
    })

    test('hang gives no answer at all', async () => {
      proxy = await FaultProxy.start(options())
      proxy.set({ kind: 'hang' })
      expect(await post(proxy.url, 200)).toEqual({ body: '', error: 'patience' })
    })

    test('reset breaks the connection before any answer', async () => {
      proxy = await FaultProxy.start(options())
      proxy.set({ kind: 'reset' })
      expect(await post(proxy.url)).toEqual({ body: '', error: 'ECONNRESET' })
    })

    test('half an answer ends as told', async () => {
      proxy = await FaultProxy.start(options())
      proxy.set({ kind: 'half', ending: 'reset' })
      expect((await post(proxy.url)).error).toBe('ECONNRESET')
      proxy.set({ kind: 'half', ending: 'silence' })
      expect((await post(proxy.url, 300)).error).toBe('patience')
      proxy.set({ kind: 'half', ending: 'end' })
      const ended = await post(proxy.url)
      if (!isHttp) return expect(ended.error).toBeDefined()
      expect(ended).toMatchObject({ status: 200, body: `hello${BODY}`.slice(0, 502) })
      expect(ended.error).toBeUndefined()
      expect(proxy.cutAnswers.map(String)).toEqual(Array(3).fill(`hello${BODY}`))
    })

    test('refuse refuses, and accept takes connections again at the same place', async () => {
      proxy = await FaultProxy.start(options())
      const { url } = proxy
      await proxy.refuse()
      expect((await post(url)).error).toBe('ECONNREFUSED')
      await proxy.accept()
      expect(proxy.url).toBe(url)
      expect((await post(url)).status).toBe(200)
    })

    test('a fault may depend on how many came before', async () => {
      proxy = await FaultProxy.start(options())
      proxy.set(({ index }) => (index < 2 ? { kind: 'reset' } : { kind: 'none' }))
      const errors = []
      for (let attempt = 0; attempt < 3; attempt++) errors.push((await post(proxy.url)).error)
      expect(errors).toEqual(['ECONNRESET', 'ECONNRESET', undefined])
    })

    test(
      isHttp ? 'an answer of ours replaces the server’s' : 'an answer of ours is not possible',
      async () => {
        proxy = await FaultProxy.start(options())
        const answer = { status: 429, headers: { 'retry-after': '1' }, body: 'slower' }
        if (!isHttp) return expect(() => proxy.set({ kind: 'answer', answer })).toThrow('layer http')
        proxy.set({ kind: 'answer', answer })
        expect(await post(proxy.url)).toEqual({ status: 429, body: 'slower', isUpstream: false })
      },
    )

    test('speaks the server’s own protocol', async () => {
      proxy = await FaultProxy.start(options())
      expect(proxy.url).toMatch(isTls ? /^https:\/\/127/ : /^http:\/\/127/)
    })
  })
}

describe('broken TLS', () => {
  const errors = {
    untrusted: /SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET/,
    plain: /SSL|EPROTO/,
    silent: /patience/,
  }
  for (const [how, error] of Object.entries(errors) as [keyof typeof errors, RegExp][]) {
    test(how, async () => {
      const broken = await startBrokenTls(how)
      const outcome = await new Promise<string>((done) => {
        const outgoing = requestTls(broken.url, { agent: false }, () => done('answered'))
        outgoing.on('error', (thrown: NodeJS.ErrnoException) => done(thrown.code ?? thrown.message))
        setTimeout(() => {
          done('patience')
          outgoing.destroy()
        }, 300).unref()
        outgoing.end()
      })
      expect(outcome).toMatch(error)
      await broken.close()
    })
  }
})
