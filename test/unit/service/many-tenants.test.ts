// Requests that name many tenants: what they take before they are valid, and what they may cost.
import { expect, onTestFinished, test } from 'vitest'
import { KEY_LOADS_PER_REQUEST_MAX } from '../../../src/base/limits.ts'
import { openKms } from '../../../src/service/kms.ts'
import { expectBooksToBalance, startSidecar, type TestSidecar } from './sidecar.ts'

const PROTOBUF = 'application/x-protobuf'

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest])
    bytes.push((rest % 128) | 128)
  }
}

const nest = (field: number, ...content: Uint8Array[]): Buffer => {
  const bytes = Buffer.concat(content)
  return Buffer.concat([Buffer.of((field << 3) | 2), varint(bytes.length), bytes])
}
const attribute = (key: string, value: string): Buffer =>
  nest(1, nest(1, Buffer.from(key)), nest(2, nest(1, Buffer.from(value))))

/** One resource group for each tenant, with one span that has an address and is signed. */
function requestOf(tenants: readonly string[]): Buffer {
  const ids = [nest(1, Buffer.alloc(16, 7)), nest(2, Buffer.alloc(8, 7))]
  const span = nest(2, ...ids, nest(5, Buffer.from('s')), spanAttribute('compliance.x', 'ann@example.org'))
  return Buffer.concat(
    tenants.map((tenant) => nest(1, nest(1, attribute('betrace.tenant', tenant)), nest(2, span))),
  )
}

const spanAttribute = (key: string, value: string): Buffer =>
  nest(9, nest(1, Buffer.from(key)), nest(2, nest(1, Buffer.from(value))))

const names = (count: number, prefix = 't'): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`)

async function start(sets: readonly string[] = [], around: Parameters<typeof startSidecar>[2] = {}) {
  const sidecar = await startSidecar(sets, undefined, around)
  onTestFinished(async () => {
    await sidecar.stop()
    sidecar.remove()
  })
  return sidecar
}

const calls = (sidecar: TestSidecar): Promise<number> => sidecar.metric('kms_requests_total')

test('a request that is refused as malformed takes no place and costs no call, however many tenants it names', async () => {
  const sidecar = await start(['tenants.max=10'])
  const before = await calls(sidecar)
  for (let round = 0; round < 5; round++) {
    // The last group ends in a field that overruns it.
    const malformed = Buffer.concat([requestOf(names(9, `r${round}-`)), Buffer.of(0x0a, 0x02, 0x12, 0x7f)])
    expect((await sidecar.post('/v1/traces', malformed, PROTOBUF)).status).toBe(400)
  }
  expect(await calls(sidecar)).toBe(before)
  expect((await sidecar.post('/v1/traces', requestOf(names(9, 'honest')), PROTOBUF)).status).toBe(200)
  const tooMany = await sidecar.post('/v1/traces', requestOf(['one-more']), PROTOBUF)
  expect(tooMany.status).toBe(403)
})

test('more tenants than a request may name are refused at once, without a call', async () => {
  const sidecar = await start()
  const before = await calls(sidecar)
  const refused = await sidecar.post('/v1/traces', requestOf(names(5_000)), PROTOBUF)
  expect(refused.status).toBe(413)
  expect(await refused.text()).toContain('too many tenants in one request')
  expect(await calls(sidecar)).toBe(before)
  expect((await sidecar.post('/v1/traces', requestOf(names(256)), PROTOBUF)).status).toBe(200)
  await expectBooksToBalance(sidecar, 'traces')
})

test('a header that names a tenant takes no place before its request is valid', async () => {
  const sidecar = await start(['tenants.max=3'])
  for (const tenant of names(20, 'h'))
    await sidecar.post('/v1/traces', Buffer.of(0xff), PROTOBUF, { 'x-betrace-tenant': tenant })
  expect((await sidecar.post('/v1/traces', requestOf(['a', 'b']), PROTOBUF)).status).toBe(200)
})

test('the key service hears of a few tenants of a request at a time', async () => {
  let atOnce = 0
  let atOnceMax = 0
  const sidecar = await start([], {
    openKms: async (...settings) => {
      const kms = await openKms(...settings)
      const { generateDataKey } = kms
      kms.generateDataKey = async (...call) => {
        atOnceMax = Math.max(atOnceMax, ++atOnce)
        try {
          await new Promise((resolve) => setTimeout(resolve, 5))
          return await generateDataKey.apply(kms, call)
        } finally {
          atOnce--
        }
      }
      return kms
    },
  })
  expect((await sidecar.post('/v1/traces', requestOf(names(60)), PROTOBUF)).status).toBe(200)
  expect(atOnceMax).toBeGreaterThan(1)
  expect(atOnceMax).toBeLessThanOrEqual(KEY_LOADS_PER_REQUEST_MAX)
  await expectBooksToBalance(sidecar, 'traces')
})
