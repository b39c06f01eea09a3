import { connect } from 'node:net'
import { hostname } from 'node:os'
import { describe, expect, test } from 'vitest'
import { createHostCheck } from '../../../src/receivers/host-check.ts'
import { JSON_TYPE, post, startReceivers } from './harness.ts'

describe('which hosts a request may name', () => {
  test.each<[host: string, onLoopback: boolean, onAll: boolean]>([
    ['localhost', true, true],
    ['localhost:4318', true, true],
    ['LOCALHOST.', true, true],
    ['app.localhost', true, true],
    ['127.0.0.1:4318', true, true],
    ['127.8.9.10', true, true],
    ['[::1]:4318', true, true],
    [hostname(), true, true],
    ['10.0.0.7:4318', false, true],
    ['[2001:db8::7]:4318', false, true],
    ['betrace:4318', false, true],
    ['betrace.monitoring.svc:4318', false, true],
    ['betrace.monitoring.svc.cluster.local', false, true],
    ['collector.internal', false, true],
    ['rebound.example.com', false, false],
    ['rebound.example.com:4318', false, false],
    ['127.0.0.1.example.com', false, false],
    ['localhost.example.com', false, false],
    ['evil.svc.example.com', false, false],
    ['svc.cluster.local.example.com:80', false, false],
    ['rebound.example.com:80:80', false, false],
  ])('%s on loopback: %s, on every interface: %s', (host, onLoopback, onAll) => {
    for (const bound of ['127.0.0.1', 'localhost', '::1'])
      expect(createHostCheck(bound, [])(host)).toBe(onLoopback)
    for (const bound of ['0.0.0.0', '::', undefined, '10.0.0.7'])
      expect(createHostCheck(bound, [])(host)).toBe(onAll)
  })

  test.each<[allowed: string[], host: string, isOurs: boolean]>([
    [['otel.example.com'], 'OTEL.example.com:4318', true],
    [['Otel.Example.com'], 'otel.example.com.', true],
    [['otel.example.com'], 'other.example.com', false],
    [['*.example.com'], 'other.example.com', true],
    [['*.example.com'], 'example.com', false],
    [['*.example.com'], 'notexample.com', false],
    [['*'], 'anything.example.org', true],
  ])('with %j, %s is ours: %s', (allowed, host, isOurs) => {
    expect(createHostCheck('127.0.0.1', allowed)(host)).toBe(isOurs)
  })

  test('an absent one is good, and a good one does not make the next one good', () => {
    const check = createHostCheck('127.0.0.1', [])
    expect([check(undefined), check(''), check('localhost'), check('a.example'), check('localhost')]).toEqual(
      [true, true, true, false, true],
    )
  })
})

describe('OTLP/HTTP', () => {
  const request = { body: Buffer.from('{}'), headers: { 'content-type': JSON_TYPE } }

  test.each([
    ['rebound.example.com', {}, 421],
    ['localhost', {}, 200],
    ['rebound.example.com', { allowedHosts: ['*.example.com'] }, 200],
  ])('asked as %s with %j answers %i', async (host, http, status) => {
    await using harness = await startReceivers({ http })
    const answer = await post(harness.httpPort, { ...request, headers: { ...request.headers, host } })
    expect(answer.status).toBe(status)
    if (status === 421) expect(answer.body.toString()).toContain('allowed_hosts')
    expect(harness.seen.length).toBe(status === 200 ? 1 : 0)
  })

  test('HTTP/1.0 needs no host', async () => {
    await using harness = await startReceivers()
    const text = `POST /v1/traces HTTP/1.0\r\nContent-Type: ${JSON_TYPE}\r\nContent-Length: 2\r\n\r\n{}`
    const answer = await new Promise<string>((resolve) => {
      let seen = ''
      const socket = connect(harness.httpPort, '127.0.0.1', () => socket.write(text))
      socket.on('data', (chunk) => {
        seen += chunk.toString()
      })
      socket.on('close', () => resolve(seen))
    })
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
  })
})
