// What real SDKs make of our refusals: with the next hop down and no store, a request cannot be taken. The answer has
// to be one that the SDK retries (UNAVAILABLE with RetryInfo, 503 with Retry-After), so that nothing is lost.
import { afterEach, describe, expect, test } from 'vitest'
import { type Sink, startSink } from '../../bench/sink.ts'
import { spanKeys } from '../../bench/wire-walk.ts'
import { CLIENT_NAMES, PROTOCOLS, sendTrace } from './clients.ts'
import { accountsOf, imbalance } from './metrics.ts'
import { freePorts, until } from './service-process.ts'
import { Sidecar } from './sidecar.ts'
import { missingToolchain } from './tools.ts'

const clients = CLIENT_NAMES.filter((name) => missingToolchain(name) === undefined)
let sidecar: Sidecar | undefined
let sink: Sink | undefined

afterEach(async () => {
  await sidecar?.remove()
  await sink?.close()
})

describe.skipIf(clients.length === 0)('a refusal for want of a next hop', () => {
  test.each(clients.flatMap((client) => PROTOCOLS.map((protocol) => ({ client, protocol }))))(
    'is retried by the $client SDK over $protocol until the next hop is back',
    async ({ client, protocol }) => {
      const [sinkPort] = await freePorts(1)
      sidecar = await Sidecar.start({
        exporters: () => ({
          'otlp_grpc/next': {
            endpoint: `127.0.0.1:${sinkPort}`,
            tls: { insecure: true },
            timeout: '1s',
            retry_on_failure: { initial_interval: '100ms', max_interval: '200ms', max_elapsed_time: '300ms' },
          },
        }),
        storage: { enabled: false },
        limits: { wait_max: '300ms' },
      })
      const received = new Set<string>()
      const sending = sendTrace(
        client,
        protocol,
        protocol === 'grpc' ? sidecar.grpcEndpoint : sidecar.httpEndpoint,
        40,
      )
      const atSidecar = sidecar
      await until('the first refusal', async () => accountsOf(await atSidecar.metrics()).rejected > 0, 30_000)
      sink = await startSink({
        port: sinkPort!,
        onBody: (body) => {
          for (const key of spanKeys(body)) received.add(key)
        },
      })
      const trace = await sending
      expect(trace).toMatchObject({ isAccepted: true })
      for (const key of trace.spans) expect([...received]).toContain(key)
      expect(imbalance(accountsOf(await sidecar.metrics()))).toBe(0)
    },
  )
})
