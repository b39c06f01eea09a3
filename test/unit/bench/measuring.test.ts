// The instruments themselves: a bench that counts wrongly would still print a table.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { readUsage } from '../../../bench/cpu.ts'
import { generateLoad, summarize } from '../../../bench/load.ts'
import { grpcFrame, NO_STATUS, OtlpClient } from '../../../bench/otlp-client.ts'
import { makeTraces } from '../../../bench/payload.ts'
import { median } from '../../../bench/report.ts'
import { type Sink, startSink } from '../../../bench/sink.ts'
import { SpanLedger, UniqueLoad } from '../../../bench/unique-load.ts'
import { countSpans, spanIdOffsets, spanKeys } from '../../../bench/wire-walk.ts'
import { accountsOf, imbalance, parseMetrics } from '../../interop/metrics.ts'
import { requestType } from '../wire/oracle.ts'

describe('percentiles are nearest rank', () => {
  test.each([
    { values: [], p50: 0, p99: 0, max: 0 },
    { values: [7], p50: 7, p99: 7, max: 7 },
    { values: [4, 1, 3, 2], p50: 2, p99: 4, max: 4 },
    { values: Array.from({ length: 1000 }, (_, index) => 1000 - index), p50: 500, p99: 990, max: 1000 },
  ])('of $values.length values', ({ values, p50, p99, max }) => {
    expect(summarize(values)).toMatchObject({ count: values.length, p50Ms: p50, p99Ms: p99, maxMs: max })
  })

  test('a median of an even count lies between the two in the middle', () => {
    expect([median([3]), median([4, 1]), median([9, 1, 5])]).toEqual([3, 2.5, 5])
  })
})

describe('the walk over a request', () => {
  const type = requestType.traces

  test.each([1, 2, 33, 512])('finds the spans and ids that protobufjs finds, of %i', (spans) => {
    const body = makeTraces({ spans, seed: spans })
    const decoded = type.toObject(type.decode(body)) as {
      resourceSpans: { scopeSpans: { spans: { traceId: Uint8Array; spanId: Uint8Array }[] }[] }[]
    }
    const expected = decoded.resourceSpans
      .flatMap((group) => group.scopeSpans.flatMap((scope) => scope.spans))
      .map(
        ({ traceId, spanId }) =>
          `${Buffer.from(traceId).toString('hex')}-${Buffer.from(spanId).toString('hex')}`,
      )
    expect(countSpans(body)).toBe(spans)
    expect(spanKeys(body)).toEqual(expected)
    expect(spanIdOffsets(body).map((at) => Buffer.from(body.subarray(at, at + 8)).toString('hex'))).toEqual(
      expected.map((key) => key.slice(33)),
    )
  })

  test('throws on a field that overruns its message', () => {
    expect(() => countSpans(Uint8Array.of(0x0a, 0x05, 0x12))).toThrow('overruns')
  })
})

describe('load and sink', () => {
  let sink: Sink | undefined
  afterEach(() => sink?.close())

  test('the sink counts what the load says was OK', async () => {
    sink = await startSink()
    const result = await generateLoad({ port: sink.port, spans: 32, seconds: 0.3, rate: 3200 })
    expect(result).toMatchObject({ sentRequests: 30, okRequests: 30, okSpans: 960, refused: {} })
    expect(sink.stats()).toMatchObject({ requests: 30, spans: 960 })
  })

  test('a refusal is counted by its status and is not an OK', async () => {
    sink = await startSink({
      onBody: () => {
        throw new Error('down')
      },
    })
    const result = await generateLoad({ port: sink.port, spans: 1, seconds: 0.1, rate: 100 })
    expect(result).toMatchObject({ okRequests: 0, okSpans: 0, refused: { 14: 10 } })
  })

  test('a call on a closed connection ends with no status', async () => {
    sink = await startSink()
    const client = await OtlpClient.connect(sink.port)
    await client.close()
    expect(await new Promise((done) => client.export(grpcFrame(new Uint8Array()), done))).toBe(NO_STATUS)
  })

  test('a ledger counts as lost exactly what was acknowledged and did not arrive', async () => {
    const ledger = new SpanLedger()
    let bodies = 0
    sink = await startSink({
      // Every second body is acknowledged and forgotten.
      onBody: (body) => {
        if (bodies++ % 2 === 0) ledger.arrive(body)
      },
    })
    const options = { port: sink.port, spans: 4, inFlight: 2, spansPerSecond: 4000, prefix: 9 }
    const load = new UniqueLoad(options, ledger)
    await load.start()
    while (bodies < 10) await new Promise((done) => setImmediate(done))
    await load.stop()
    expect(ledger.acknowledged.size).toBe(bodies * 4)
    expect(ledger.lost).toBe(Math.floor(bodies / 2) * 4)
    expect(ledger.repeated).toBe(0)
  })
})

test('CPU time of this process only grows, and its memory is more than nothing', () => {
  const before = readUsage(process.pid)
  const begun = process.cpuUsage()
  while (process.cpuUsage(begun).user < 60_000);
  const after = readUsage(process.pid)
  expect(after.cpuUs - before.cpuUs).toBeGreaterThanOrEqual(40_000)
  expect(after.rssBytes).toBeGreaterThan(10 * 2 ** 20)
})

test('every target of thresholds.json is judged by a bench, and nothing else is', () => {
  const folder = join(import.meta.dirname, '../../../bench')
  const targets = Object.keys(JSON.parse(readFileSync(join(folder, 'thresholds.json'), 'utf8')) as object)
  const source = readdirSync(folder)
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(join(folder, file), 'utf8'))
    .join('\n')
  const judged = [...source.matchAll(/\.judge\('([^']+)'/g)].map((match) => match[1]!)
  expect([...new Set(judged)].sort()).toEqual(targets.sort())
})

describe('metrics read back', () => {
  const text = [
    '# HELP betrace_items_accepted_total Items',
    'betrace_items_accepted_total{signal="traces"} 12',
    'betrace_items_accepted_total{signal="logs"} 3',
    'betrace_items_exported_total{signal="traces"} 7',
    'betrace_items_rejected_total{signal="traces",reason="QUEUE_FULL"} 2',
    'betrace_items_rejected_total{signal="traces",reason="a \\"b\\""} 1',
    'betrace_items_queued{signal="traces"} 2',
    '',
  ].join('\n')

  test('sums the series that carry the labels', () => {
    const metrics = parseMetrics(text)
    expect(metrics.sum('betrace_items_accepted_total')).toBe(15)
    expect(metrics.sum('betrace_items_rejected_total', { signal: 'traces' })).toBe(3)
    expect(metrics.sum('absent')).toBe(0)
    expect(imbalance(accountsOf(metrics))).toBe(0)
  })

  test('a line that is not a sample throws', () => {
    expect(() => parseMetrics('not prometheus at all')).toThrow('not a Prometheus sample')
  })
})
