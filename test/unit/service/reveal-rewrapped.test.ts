import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { keys as keysCommand } from '../../../src/cli/keys/keys.ts'
import { recordingIo } from '../cli/io.ts'
import { oneSpan } from './one-span.ts'
import { startSidecar } from './sidecar.ts'

const EMAIL = 'ann@example.org'
const SPAN = oneSpan('GET', 'user.email', EMAIL)

interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue: string }
}

test('a value from before the keys moved to another master key opens over HTTP as it does in the command', async () => {
  const first = await startSidecar()
  onTestFinished(() => first.remove())
  expect((await first.post('/v1/traces', SPAN, 'application/json')).status).toBe(200)
  await first.until('the span is exported', () => first.metric('otelcol_exporter_sent_spans').then(Boolean))
  await first.stop()

  const data = join(first.folder, 'data')
  const [oldConfig, newFile] = [join(first.folder, 'old.yaml'), join(first.folder, 'new', 'local-kms.key')]
  const pipeline = `receivers: { otlp: { protocols: { http: {} } } }
exporters: { debug: {} }
service: { pipelines: { traces: { receivers: [otlp], exporters: [debug] } } }
storage: { directory: ${JSON.stringify(data)} }
`
  writeFileSync(oldConfig, `${pipeline}kms: { provider: local }\n`)
  const newConfig = join(first.folder, 'new.yaml')
  writeFileSync(newConfig, `${pipeline}kms: { local: { key_file: ${JSON.stringify(newFile)} } }\n`)
  const { io, out, err } = recordingIo({}, first.folder)
  expect(await keysCommand(['rewrap', '--config', newConfig, '--from', oldConfig], io), err()).toBe(0)
  expect(out()).toContain('0 failed')

  const revealToken = 'test-reveal-token'
  const second = await startSidecar(
    [`kms.local.key_file=${newFile}`, `service.admin.reveal_token=${revealToken}`],
    first.folder,
  )
  onTestFinished(async () => void (await second.stop()))
  const answer = await second.get('/api/admin/reveal', {
    method: 'POST',
    headers: { authorization: `Bearer ${revealToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ reason: 'a test of ours', values: [sealedIn(join(first.folder, 'out.jsonl'))] }),
  })
  expect(await answer.json()).toMatchObject({ values: [{ value: { stringValue: EMAIL } }] })
})

function sealedIn(path: string): Record<string, string> {
  // The shape that the exporter just wrote.
  const request = JSON.parse(readFileSync(path, 'utf8').split('\n')[0]!) as {
    resourceSpans: {
      resource: { attributes: Attribute[] }
      scopeSpans: { spans: { traceId: string; spanId: string; attributes: Attribute[] }[] }[]
    }[]
  }
  const [{ resource, scopeSpans }] = request.resourceSpans as [(typeof request.resourceSpans)[number]]
  const text = (attributes: readonly Attribute[], key: RegExp): string =>
    attributes.find((each) => key.test(each.key))!.value.stringValue
  const { traceId, spanId, attributes } = scopeSpans[0]!.spans[0]!
  return {
    ...{ traceId, spanId },
    token: text(attributes, /^user\.email$/),
    attributeKey: 'user.email',
    announcement: text(resource.attributes, /^betrace\.key\./),
  }
}
