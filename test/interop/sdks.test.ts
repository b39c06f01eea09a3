// The OpenTelemetry SDKs of Python, Go and Java send real traces in, over gRPC and HTTP with gzip.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CLIENT_NAMES, PROTOCOLS, type SentTrace, sendTrace } from './clients.ts'
import {
  expectBalanced,
  expectNoPlainText,
  expectReveals,
  expectSealedAndSigned,
  expectVerifies,
  untilArrived,
} from './expectations.ts'
import { Sidecar } from './sidecar.ts'
import { missingToolchain } from './tools.ts'

const clients = CLIENT_NAMES.filter((name) => missingToolchain(name) === undefined)
const absent = CLIENT_NAMES.filter((name) => !clients.includes(name))

describe.skipIf(clients.length === 0)('spans of real SDKs', () => {
  let sidecar: Sidecar
  let output: string
  const sent: SentTrace[] = []

  beforeAll(async () => {
    sidecar = await Sidecar.start({
      exporters: (directory) => ({ 'file/out': { path: `${directory}/out.jsonl` } }),
    })
    output = `${sidecar.directory}/out.jsonl`
  })
  afterAll(() => sidecar?.remove())

  test.each(clients.flatMap((client) => PROTOCOLS.map((protocol) => ({ client, protocol }))))(
    'the $client SDK over $protocol is told OK, and its trace arrives sealed and signed',
    async ({ client, protocol }) => {
      const trace = await sendTrace(
        client,
        protocol,
        protocol === 'grpc' ? sidecar.grpcEndpoint : sidecar.httpEndpoint,
      )
      sent.push(trace)
      expect(trace).toMatchObject({ isAccepted: true, error: undefined })
      await untilArrived(output, [trace])
      expectSealedAndSigned(output, trace)
    },
  )

  test('all of it verifies offline, and one changed value does not', () =>
    expectVerifies(sidecar, output, sent))

  test('all of it can be revealed with the master key', () => expectReveals(sidecar, output, sent))

  test('no planted value is in any file, log line or metric', () => expectNoPlainText(sidecar))

  test('every span sent was exported, and the accounts balance', () =>
    expectBalanced(sidecar, sent.flatMap((trace) => trace.spans).length))

  test('SIGTERM ends it with exit code 0', async () => {
    expect(await sidecar.process.stop()).toBe(0)
  })
})

for (const client of absent)
  test.skip(`the ${client} SDK sends a trace: its toolchain is not on this machine`)
