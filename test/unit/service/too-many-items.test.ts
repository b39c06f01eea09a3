import { expect, onTestFinished, test } from 'vitest'
import { ITEMS_PER_REQUEST_MAX } from '../../../src/base/limits.ts'
import { expectBooksToBalance, startSidecar } from './sidecar.ts'

/** Spans of a few bytes, encoded by hand: an id of each, and nothing else. */
function tinySpans(count: number, bytesEach: number): Buffer {
  const name = Buffer.alloc(bytesEach, 0x61)
  const span = Buffer.concat([Buffer.of(0x2a, name.length), name])
  const spans = Buffer.concat(
    Array.from({ length: count }, () => Buffer.concat([Buffer.of(0x12, span.length), span])),
  )
  const wrap = (field: number, body: Buffer): Buffer =>
    Buffer.concat([Buffer.of(field), varint(body.length), body])
  return wrap(0x0a, wrap(0x12, spans))
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest])
    bytes.push((rest % 128) | 128)
  }
}

test.each([
  ['small ones, counted on the way', 4],
  ['enough bytes to be counted first', 100],
])('a request holds so many items and no more, whatever their size: %s', async (_, bytesEach) => {
  const sidecar = await startSidecar(['processors.signing.select=all'])
  onTestFinished(async () => {
    await sidecar.stop()
    sidecar.remove()
  })
  const send = (count: number): Promise<Response> =>
    sidecar.post('/v1/traces', tinySpans(count, bytesEach), 'application/x-protobuf')
  expect((await send(1_000)).status).toBe(200)
  for (const count of [ITEMS_PER_REQUEST_MAX + 1, 50_000]) {
    const refused = await send(count)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([413, null])
  }
  await sidecar.until('exported', async () => (await sidecar.metric('betrace_items_queued')) === 0)
  expect(await sidecar.metric('betrace_items_rejected_total', 'TOO_LARGE')).toBe(
    ITEMS_PER_REQUEST_MAX + 1 + 50_000,
  )
  await expectBooksToBalance(sidecar, 'traces')
})
