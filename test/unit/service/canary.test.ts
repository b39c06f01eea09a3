import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { protobufToJson } from '../../../src/wire/json.ts'
import type { Signal } from '../../../src/wire/otlp.ts'
import { grpcExport } from './grpc-export.ts'
import { plantRequest } from './planted-request.ts'
import { expectBooksToBalance, startSidecar, type TestSidecar } from './sidecar.ts'
import { plantUnsound } from './unsound-request.ts'

const SIGNALS: readonly Signal[] = ['traces', 'logs', 'metrics']

/** Every file below a folder, whole. */
function filesBelow(folder: string): Map<string, Buffer> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  )
  return new Map(
    files.map((entry) => [
      join(entry.parentPath, entry.name),
      readFileSync(join(entry.parentPath, entry.name)),
    ]),
  )
}

/** What the text looks like wherever it may turn up. */
function disguises(secret: string): Buffer[] {
  const local = secret.slice(0, secret.indexOf('@'))
  const bytes = Buffer.from(local)
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .slice(shift === 0 ? 0 : 4, -4),
  )
  return [bytes, Buffer.from(bytes.toString('hex')), ...base64.map((text) => Buffer.from(text))]
}

describe('planted secrets', () => {
  let sidecar: TestSidecar
  const secrets = new Map<string, string>()
  const answers: string[] = []

  beforeAll(async () => {
    sidecar = await startSidecar()
    for (const signal of SIGNALS) {
      for (const transport of ['grpc', 'protobuf', 'json'] as const) {
        const planted = plantRequest(signal, `${signal[0]}${transport[0]}`)
        for (const [place, secret] of planted.secrets) secrets.set(`${transport} ${place}`, secret)
        answers.push(await send(signal, transport, planted.body))
      }
      for (const transport of ['grpc', 'protobuf'] as const) {
        const unsound = plantUnsound(signal, `${signal[0]}${transport[0]}`)
        for (const [place, secret] of unsound.secrets) secrets.set(`${transport} ${place}`, secret)
        answers.push(await send(signal, transport, unsound.body))
      }
      // The ways to fail: cut short, flipped, no JSON, a wrong type, a wrong encoding.
      const broken = plantRequest(signal, `${signal[0]}b`)
      for (const [place, secret] of broken.secrets) secrets.set(`broken ${place}`, secret)
      const json = protobufToJson(broken.body, signal)
      const path = `/v1/${signal}`
      for (const [body, type, headers] of [
        [broken.body.subarray(0, broken.body.length - 3), 'application/x-protobuf', {}],
        [Buffer.concat([Buffer.from([0x0b]), broken.body]), 'application/x-protobuf', {}],
        [json.slice(0, -4), 'application/json', {}],
        [json.replace(/"(resource\w+)":\[/, '"$1":7,"x":['), 'application/json', {}],
        [json, 'text/plain', {}],
        [json, 'application/json', { 'content-encoding': 'gzip' }],
        [broken.body, 'application/x-protobuf', { 'content-encoding': 'nonsense' }],
        [broken.body, 'application/x-protobuf', { 'x-betrace-tenant': 'bad\ttenant' }],
      ] as const) {
        const response = await sidecar.post(path, body, type, headers)
        expect(response.status).toBeGreaterThanOrEqual(400)
        answers.push(await response.text())
      }
    }
    await sidecar.until(
      'everything is exported',
      async () => (await sidecar.metric('betrace_items_queued')) === 0,
    )
    for (const path of [
      '/q/metrics',
      '/q/health',
      '/',
      '/api/tenants/default/public-keys',
      '/api/tenants/nobody/public-keys',
    ]) {
      answers.push(await (await sidecar.get(path)).text())
    }
    answers.push(
      await (
        await sidecar.get('/api/admin/kms/status', { headers: { authorization: 'Bearer test-admin-token' } })
      ).text(),
    )
  })

  afterAll(() => sidecar.remove())

  async function send(
    signal: Signal,
    transport: 'grpc' | 'protobuf' | 'json',
    body: Uint8Array,
  ): Promise<string> {
    if (transport === 'grpc') return grpcExport(sidecar.grpcAddress, signal, body)
    const isJson = transport === 'json'
    const response = await sidecar.post(
      `/v1/${signal}`,
      isJson ? protobufToJson(body, signal) : body,
      isJson ? 'application/json' : 'application/x-protobuf',
    )
    expect(response.status).toBe(200)
    return response.text()
  }

  test('there are many of them, in every message of every signal', () => {
    expect(secrets.size).toBeGreaterThan(400)
  })

  test('were not all rejected: what is sound beside them was taken, and the rest was counted', async () => {
    for (const signal of SIGNALS)
      expect(await sidecar.metric('betrace_redaction_unknown_fields_removed_total', signal)).toBeGreaterThan(
        40,
      )
    expect(await sidecar.metric('betrace_items_rejected_total', 'INVALID_ID')).toBe(10)
    expect(await sidecar.metric('betrace_items_rejected_total', 'INVALID_UTF8')).toBe(6)
  })

  test('are in no answer, metric, health or admin page', () => {
    expect(found(Buffer.from(answers.join('\n')))).toEqual([])
  })

  test('are in no log line, at the level of debug', () => {
    expect(found(Buffer.from(sidecar.log()))).toEqual([])
  })

  test('are in no file: not in the output, not in the store while it runs, not after it stopped', async () => {
    const running = filesBelow(sidecar.folder)
    expect([...running.keys()].some((file) => file.endsWith('out.jsonl'))).toBe(true)
    for (const signal of SIGNALS) await expectBooksToBalance(sidecar, signal)
    expect(await sidecar.stop()).toBe(true)
    const leaks = [...running, ...filesBelow(sidecar.folder)].flatMap(([file, bytes]) =>
      found(bytes).map((place) => `${file}: ${place}`),
    )
    expect(leaks).toEqual([])
  })

  test('the search itself works: it finds a secret that was put there, plain and in base64', () => {
    const [[place, secret]] = [...secrets]
    expect(found(Buffer.from(`log line with ${secret} in it`))).toContain(place)
    expect(found(Buffer.from(Buffer.from(`xy${secret}`).toString('base64')))).toContain(place)
  })

  function found(haystack: Buffer): string[] {
    return [...secrets]
      .filter(([, secret]) => disguises(secret).some((needle) => haystack.includes(needle)))
      .map(([place]) => place)
  }
})
