// What is sound of a request is taken, what is not is rejected by item, and the next hop can take all that was said OK
// to. The next hop here is a strict one: another protobuf runtime that verifies UTF-8, and refuses for good.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Signal } from '../../../src/wire/otlp.ts'
import { decodeResponse } from '../../../src/wire/reply.ts'
import { readStrictly } from '../wire/oracle.ts'
import { field, joined, text } from '../wire/recorder.ts'
import { grpcExport } from './grpc-export.ts'
import { expectBooksToBalance, startSidecar, type TestSidecar } from './sidecar.ts'

const OTLP = 'application/x-protobuf'
const JSON_TYPE = 'application/json'
const BAD = Uint8Array.of(0x68, 0x69, 0xe9, 0x21)
const ID = '7bba9f33312b3dbb8b2c2c62bb7abe2d'

interface Span {
  name?: string
  traceId?: string
}

describe('a sidecar before a strict next hop', () => {
  const received: { signal: Signal; content: Record<string, unknown> }[] = []
  const hop = createServer((request, response) => {
    const signal = request.url!.slice('/v1/'.length) as Signal // the exporter's paths
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      try {
        received.push({ signal, content: readStrictly(signal, Buffer.concat(chunks)) })
        response.writeHead(200, { 'content-type': OTLP }).end()
      } catch {
        response.writeHead(400, { 'content-type': OTLP }).end()
      }
    })
  })
  let sidecar: TestSidecar

  beforeAll(async () => {
    await once(hop.listen(0, '127.0.0.1'), 'listening')
    const endpoint = `http://127.0.0.1:${(hop.address() as AddressInfo).port}`
    sidecar = await startSidecar([
      `exporters.otlp_http/next.endpoint=${endpoint}`,
      'exporters.otlp_http/next.compression=none',
      ...['traces', 'logs', 'metrics'].map((s) => `service.pipelines.${s}.exporters=[otlp_http/next]`),
      'service.pipelines.metrics.processors=[]',
      'processors.signing.select=all',
    ])
  })

  afterAll(async () => {
    await sidecar.stop()
    sidecar.remove()
    hop.closeAllConnections()
    hop.close()
  })

  const drained = (): Promise<void> =>
    sidecar.until('exported', async () => (await sidecar.metric('betrace_items_queued')) === 0)

  /** Spans, records or points that the next hop took, in order. */
  function items(): Span[] {
    const found: Span[] = []
    const visit = (value: unknown): void => {
      if (Array.isArray(value)) value.forEach(visit)
      else if (typeof value === 'object' && value !== null) {
        for (const [key, inner] of Object.entries(value)) {
          if (['spans', 'logRecords', 'dataPoints'].includes(key)) found.push(...(inner as Span[]))
          else visit(inner)
        }
      }
    }
    for (const { content } of received.splice(0)) visit(content)
    return found
  }

  async function sendJson(spans: readonly object[]): Promise<{ rejected: number; message: string }> {
    const body = JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] })
    const response = await sidecar.post('/v1/traces', body, JSON_TYPE)
    expect(response.status).toBe(200)
    const { partialSuccess } = (await response.json()) as {
      partialSuccess?: { rejectedSpans?: string; errorMessage?: string }
    }
    return {
      rejected: Number(partialSuccess?.rejectedSpans ?? 0),
      message: partialSuccess?.errorMessage ?? '',
    }
  }

  const good = (count: number): Uint8Array[] =>
    Array.from({ length: count }, () =>
      field(2, field(1, new Uint8Array(16).fill(5)), field(5, text('good'))),
    )
  const faulty = joined(
    ...good(60),
    field(2, field(5, BAD)),
    field(2, field(1, text('kim@shop.example and more'))),
    ...good(38),
  )
  const requests: [string, Uint8Array][] = [
    ['http', field(1, field(2, faulty))],
    ['grpc', field(1, field(2, faulty))],
  ]

  test.each(requests)(
    'delivers 98 of 100 spans over %s, and says which two it did not take',
    async (via, body) => {
      const reply =
        via === 'grpc'
          ? decodeResponse(Buffer.from(await grpcExport(sidecar.grpcAddress, 'traces', body)))
          : decodeResponse(new Uint8Array(await (await sidecar.post('/v1/traces', body, OTLP)).arrayBuffer()))
      expect(reply).toEqual({
        rejectedItems: 2,
        message: 'rejected 2, first at resourceSpans[0].scopeSpans[0].spans[60].name: text is no utf-8',
      })
      await drained()
      expect(items()).toHaveLength(98)
      expect(await sidecar.metric('betrace_items_dropped_total')).toBe(0)
      await expectBooksToBalance(sidecar, 'traces')
    },
  )

  test('counts them by reason, and as refused', async () => {
    expect(await sidecar.metric('betrace_items_rejected_total', 'INVALID_UTF8')).toBe(2)
    expect(await sidecar.metric('betrace_items_rejected_total', 'INVALID_ID')).toBe(2)
    expect(await sidecar.metric('otelcol_receiver_refused_spans')).toBe(4)
    expect(await sidecar.metric('otelcol_receiver_accepted_spans')).toBe(196)
  })

  test('names field and sender in one line of the log, and no value', () => {
    const lines = sidecar
      .log()
      .split('\n')
      .filter((line) => line.includes('Not all of a request was taken'))
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain('spans[60].name')
    expect(lines[0]).toContain('127.0.0.1')
    expect(sidecar.log()).not.toContain('kim@')
  })

  test.each<[string, readonly object[], readonly string[], string]>([
    [
      'one bad id of three',
      [
        { traceId: ID, spanId: '0000000000000001', name: 'good 1' },
        { traceId: 'not-an-id', spanId: '0000000000000002', name: 'bad' },
        { traceId: ID, spanId: '0000000000000003', name: 'good 2' },
      ],
      ['good 1', 'good 2'],
      'spans[1].traceId: id has the wrong length or form',
    ],
    [
      'an id in base64',
      [{ traceId: 'e7qfMzErPbuLLCxiu3q+LQ==', name: 'b' }, { name: 'a' }],
      ['a'],
      'spans[0].traceId',
    ],
    ['an id of 15 bytes', [{ traceId: ID.slice(2), name: 'b' }, { name: 'a' }], ['a'], 'spans[0].traceId'],
    [
      'an object where a number stands',
      [{ name: 'a' }, { startTimeUnixNano: { low: 1, high: 2 }, name: 'b' }],
      ['a'],
      'spans[1].startTimeUnixNano: json is not well formed',
    ],
    ['an enum by a name that it has not', [{ name: 'a' }, { kind: 'SPAN_KIND_X' }], ['a'], 'spans[1].kind'],
    ['an enum by its name', [{ name: 'a' }, { kind: 'SPAN_KIND_SERVER', name: 'b' }], ['a', 'b'], ''],
    [
      'an unknown list',
      [{ name: 'a' }, { name: 'b', secrets: [] } as never],
      ['a'],
      'spans[1], member 2: json has an unknown object or list',
    ],
    ['no object at all', [7 as never, { name: 'a' }], ['a'], 'spans[0]: json'],
    ['empty and zero ids, which hold nothing', [{}, { traceId: '', name: 'z' }], ['', 'z'], ''],
  ])('reads JSON item by item: %s', async (_name, spans, taken, where) => {
    const { rejected, message } = await sendJson(spans)
    expect(rejected).toBe(spans.length - taken.length)
    expect(message).toContain(where)
    await drained()
    expect(items().map(({ name }) => name ?? '')).toEqual(taken)
    await expectBooksToBalance(sidecar, 'traces')
  })

  test('reads JSON item by item: a key given twice, and bytes that are no UTF-8', async () => {
    const body = Buffer.concat([
      Buffer.from(
        '{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"},{"name":"b","name":"c"},{"name":"',
      ),
      BAD,
      Buffer.from('"},{"name":"d"}]}]}]}'),
    ])
    const response = await sidecar.post('/v1/traces', body, JSON_TYPE)
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({
      partialSuccess: {
        rejectedSpans: '2',
        errorMessage:
          'rejected 2, first at resourceSpans[0].scopeSpans[0].spans[1].name: json gives a member twice, or two of which one may be',
      },
    })
    await drained()
    expect(items().map(({ name }) => name)).toEqual(['a', 'd'])
  })

  test('refuses JSON whole where it is none, and where what is wrong belongs to no item', async () => {
    for (const body of [
      '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xy"},{"name":"a"]}]}]}',
      '{"resourceSpans":[{"scopeSpans":{},"scopeSpans":[]}]}',
      '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}',
      '{"ResourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"}]}]}]}',
      '{"resourceSpans":[{"instrumentationLibrarySpans":[{"spans":[{"name":"a"}]}]}]}',
    ])
      expect((await sidecar.post('/v1/traces', body, JSON_TYPE)).status).toBe(400)
  })

  test('repairs the text of a resource, and says so without rejecting anything', async () => {
    const body = field(
      1,
      field(1, field(1, field(1, text('host.name')), field(2, field(1, BAD)))),
      field(2, field(2, field(5, text('kept')))),
    )
    const response = await sidecar.post('/v1/traces', body, OTLP)
    expect(decodeResponse(new Uint8Array(await response.arrayBuffer()))).toEqual({
      rejectedItems: 0,
      message:
        'repaired text that is no utf-8: 1, first at resourceSpans[0].resource.attributes[0].value.stringValue',
    })
    await drained()
    expect(JSON.stringify(received)).toContain('hi\ufffd!')
    expect(items()).toHaveLength(1)
    expect(await sidecar.metric('betrace_text_repaired_total', 'traces')).toBe(1)
  })

  test('a half of a surrogate pair in JSON is repaired by whoever reads JSON, and counted', async () => {
    const { rejected, message } = await sendJson([{ name: 'cut \ud83d' }])
    expect(rejected).toBe(0)
    expect(message).toContain('spans[0].name')
    await drained()
    expect(items()).toMatchObject([{ name: 'cut \ufffd' }])
  })

  test('repairs before the rules look: text that is broken in two is no way around them', async () => {
    const email = joined(text('k\u00efm@shop.example'), 0xff)
    const body = field(
      1,
      field(1, field(1, field(1, text('note')), field(2, field(1, email)))),
      field(2, field(2)),
    )
    expect((await sidecar.post('/v1/traces', body, OTLP)).status).toBe(200)
    await drained()
    expect(JSON.stringify(received)).not.toContain('shop.example')
    items()
  })

  test('a signal without processors is looked at as well', async () => {
    const point = (value: Uint8Array): Uint8Array => field(1, field(7, field(1, value)))
    const metric = field(2, field(1, text('m')), field(5, point(text('k')), point(BAD)))
    const response = await sidecar.post('/v1/metrics', field(1, field(2, metric)), OTLP)
    expect(decodeResponse(new Uint8Array(await response.arrayBuffer())).rejectedItems).toBe(1)
    await drained()
    expect(items()).toHaveLength(1)
    await expectBooksToBalance(sidecar, 'metrics')
  })

  test('all items rejected is still an answer, and nothing is queued', async () => {
    const response = await sidecar.post('/v1/logs', field(1, field(2, field(2, field(9, BAD)))), OTLP)
    expect(decodeResponse(new Uint8Array(await response.arrayBuffer())).rejectedItems).toBe(1)
    await drained()
    expect(items()).toEqual([])
    await expectBooksToBalance(sidecar, 'logs')
  })

  test('nothing of all this became a dead letter', async () => {
    expect(await sidecar.metric('betrace_items_dropped_total')).toBe(0)
  })
})
