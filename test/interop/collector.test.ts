// A real OpenTelemetry Collector, once in front of the sidecar and once behind it.
import { afterEach, describe, expect, test } from 'vitest'
import { CLIENT_NAMES, type ClientName, PLANTED, PROTOCOLS, type SentTrace, sendTrace } from './clients.ts'
import { Collector } from './collector.ts'
import {
  expectBalanced,
  expectNoPlainText,
  expectReveals,
  expectSealedAndSigned,
  expectVerifies,
  untilArrived,
} from './expectations.ts'
import { betrace, Sidecar } from './sidecar.ts'
import { missingToolchain } from './tools.ts'
import { findPlain } from './traces.ts'

const client: ClientName | undefined = CLIENT_NAMES.find((name) => missingToolchain(name) === undefined)
const isHere = missingToolchain('collector') === undefined && client !== undefined

const running: (Sidecar | Collector)[] = []
async function keep<T extends Sidecar | Collector>(starting: Promise<T>): Promise<T> {
  const started = await starting
  running.push(started)
  return started
}
afterEach(async () => {
  for (const each of running.splice(0).reverse()) await each.remove()
})

describe.skipIf(!isHere)('a Collector in front', () => {
  test.each(PROTOCOLS)(
    'its %s exporter, gzip, is told OK, and its spans arrive sealed and signed',
    async (protocol) => {
      const sidecar = await keep(
        Sidecar.start({ exporters: (directory) => ({ 'file/out': { path: `${directory}/out.jsonl` } }) }),
      )
      const output = `${sidecar.directory}/out.jsonl`
      const collector = await keep(
        Collector.start({ config: () => ({ exporters: collectorExporter(protocol, sidecar) }) }),
      )
      const sent = await sendThrough(collector)

      await untilArrived(output, sent)
      for (const trace of sent) expectSealedAndSigned(output, trace)
      await expectVerifies(sidecar, output, sent)
      await expectReveals(sidecar, output, sent)
      await expectNoPlainText(sidecar)
      await expectBalanced(sidecar, sent.flatMap((trace) => trace.spans).length)
    },
  )
})

describe.skipIf(!isHere)('a Collector behind', () => {
  test.each(PROTOCOLS)(
    'over %s: what its file exporter wrote, re-batched and re-marshalled, still verifies and reveals',
    async (protocol) => {
      const collector = await keep(
        Collector.start({
          config: (directory) => ({
            processors: { batch: { timeout: '500ms' } },
            exporters: { file: { path: `${directory}/out.jsonl` } },
          }),
        }),
      )
      const sidecar = await keep(Sidecar.start({ exporters: () => sidecarExporter(protocol, collector) }))
      const output = `${collector.directory}/out.jsonl`
      const sent = [
        await sendTrace(client!, 'grpc', sidecar.grpcEndpoint),
        await sendTrace(client!, 'http', sidecar.httpEndpoint),
      ]
      expect(sent.every((trace) => trace.isAccepted)).toBe(true)

      await untilArrived(output, sent)
      for (const trace of sent) expectSealedAndSigned(output, trace)
      await expectVerifies(sidecar, output, sent)
      await expectReveals(sidecar, output, sent)
      expect(findPlain(collector.directory, Object.values(PLANTED))).toEqual([])
      await expectNoPlainText(sidecar)
      await expectBalanced(sidecar, sent.flatMap((trace) => trace.spans).length)
    },
  )
})

/** What Collectors do to signed spans on their way, and what `verify` says of them then (proto/evidence.md §5). */
const STEPS: readonly [step: string, processors: Readonly<Record<string, unknown>>, isKept: boolean][] = [
  ['batch', { batch: { timeout: '500ms' } }, true],
  ['groupbyattrs without keys, which joins equal resources', { groupbyattrs: {} }, true],
  ['groupbytrace', { groupbytrace: { wait_duration: '1s', num_traces: 100 } }, true],
  [
    'tail sampling',
    { tail_sampling: { decision_wait: '1s', policies: [{ name: 'all', type: 'always_sample' }] } },
    true,
  ],
  [
    'all of them',
    {
      groupbytrace: { wait_duration: '1s', num_traces: 100 },
      tail_sampling: { decision_wait: '1s', policies: [{ name: 'all', type: 'always_sample' }] },
      groupbyattrs: {},
      batch: { timeout: '500ms' },
    },
    true,
  ],
  // It takes the attribute from the span, which then is another one.
  ['groupbyattrs with a key of the spans', { groupbyattrs: { keys: ['compliance.framework'] } }, false],
]

describe.skipIf(!isHere).each(['compact', 'inline'])('%s signatures through a Collector', (proof) => {
  test.each(STEPS)('%s', async (_, processors, isKept) => {
    const collector = await keep(
      Collector.start({
        config: (directory) => ({ processors, exporters: { file: { path: `${directory}/out.jsonl` } } }),
      }),
    )
    const sidecar = await keep(
      Sidecar.start({
        processors: { pii: {}, signing: { proof } },
        exporters: () => sidecarExporter('grpc', collector),
      }),
    )
    const output = `${collector.directory}/out.jsonl`
    const sent = [
      await sendTrace(client!, 'grpc', sidecar.grpcEndpoint),
      await sendTrace(client!, 'http', sidecar.httpEndpoint),
    ]
    await untilArrived(output, sent)
    if (isKept) await expectVerifies(sidecar, output, sent)
    else {
      const verdict = await betrace('verify', '--trust', await sidecar.exportKeys(), output)
      expect(verdict.code).toBe(1)
      expect(verdict.stdout).toContain('TAMPERED')
    }
  })
})

if (!isHere) test.skip('a Collector in front and behind: its toolchain, or every SDK, is not on this machine')

function collectorExporter(protocol: 'grpc' | 'http', sidecar: Sidecar): Record<string, unknown> {
  return protocol === 'grpc'
    ? {
        otlp_grpc: {
          endpoint: `127.0.0.1:${sidecar.ports.grpc}`,
          tls: { insecure: true },
          compression: 'gzip',
        },
      }
    : { otlp_http: { endpoint: sidecar.httpEndpoint, compression: 'gzip' } }
}

function sidecarExporter(protocol: 'grpc' | 'http', collector: Collector): Record<string, unknown> {
  return protocol === 'grpc'
    ? {
        'otlp_grpc/next': {
          endpoint: `127.0.0.1:${collector.ports.grpc}`,
          tls: { insecure: true },
          compression: 'gzip',
        },
      }
    : { 'otlp_http/next': { endpoint: `http://127.0.0.1:${collector.ports.http}`, compression: 'gzip' } }
}

async function sendThrough(collector: Collector): Promise<SentTrace[]> {
  const sent = [
    await sendTrace(client!, 'grpc', `http://127.0.0.1:${collector.ports.grpc}`),
    await sendTrace(client!, 'http', `http://127.0.0.1:${collector.ports.http}`),
  ]
  expect(sent.every((trace) => trace.isAccepted)).toBe(true)
  return sent
}
