// What the page on `hash` says of tokens, with the page's own rule, in a whole sidecar.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { parse } from 'yaml'
import { blocksOf } from '../deploy/pages.ts'
import { startSidecar, type TestSidecar } from './sidecar.ts'

const PAGE = 'docs/setup/hash.md'
const blocks = blocksOf(PAGE)
const rule = (
  parse(blocks.find(({ info }) => info === 'yaml')!.content) as {
    processors: { pii: { rules: object[] } }
  }
).processors.pii.rules[0]!
const other = { name: 'others', match: { key: ['supplier.id'] }, action: 'hash', class: 'supplier' }
const RULES = `processors.pii.rules=${JSON.stringify([rule, other])}`

const running: TestSidecar[] = []
afterEach(async () => {
  for (const sidecar of running.splice(0)) {
    await sidecar.stop()
    sidecar.remove()
  }
})

async function start(folder?: string): Promise<TestSidecar> {
  const sidecar = await startSidecar([RULES], folder)
  running.push(sidecar)
  return sidecar
}

let sent = 0

/** The token that stands in the exported span for a value. */
async function tokenOf(sidecar: TestSidecar, tenant: string, key: string, value: string): Promise<string> {
  const name = `which token? ${++sent}`
  const span = {
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    name,
    attributes: [{ key, value: { stringValue: value } }],
  }
  const body = JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] })
  const answer = await sidecar.post('/v1/traces', body, 'application/json', { 'x-betrace-tenant': tenant })
  expect(answer.status).toBe(200)
  const found = (): string | undefined =>
    readFileSync(join(sidecar.folder, 'out.jsonl'), { encoding: 'utf8', flag: 'a+' })
      .split('\n')
      .find((line) => line.includes(`"${name}"`))
  await sidecar.until('exported', () => found() !== undefined)
  return new RegExp(`"${key}","value":\\{"stringValue":"([^"]*)"`).exec(found()!)![1]!
}

test('a token has the parts that the page names, and joins what the page says', async () => {
  const sidecar = await start()
  const token = await tokenOf(sidecar, 'acme', 'customer.id', 'C-4711')
  expect(token).toMatch(/^tok\.v1\.customer\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{22}$/)
  expect(await tokenOf(sidecar, 'acme', 'customer.id', 'C-4711')).toBe(token)
  const others = await Promise.all([
    tokenOf(sidecar, 'beta', 'customer.id', 'C-4711'),
    tokenOf(sidecar, 'acme', 'supplier.id', 'C-4711'),
    tokenOf(sidecar, 'acme', 'customer.id', 'c-4711'),
  ])
  expect(new Set([token, ...others.map((each) => each.split('.').at(-1))]).size).toBe(4)
  expect(others).not.toContain(token)

  const { folder } = sidecar
  await sidecar.stop()
  running.length = 0
  expect(await tokenOf(await start(folder), 'acme', 'customer.id', 'C-4711')).toBe(token)
})

test('the page’s command for a value that is known is a request as this test sends it', () => {
  const command = blocks.find(({ info }) => info === 'bash operator')!.content
  const body = /-d '(\{[\s\S]*\})'/.exec(command)![1]!
  const [span] = (
    JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: { attributes: object[] }[] }[] }[] }
  ).resourceSpans[0]!.scopeSpans[0]!.spans
  expect(span).toMatchObject({ name: 'which token?', attributes: [{ key: 'customer.id' }] })
})
