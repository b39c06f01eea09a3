// Two sidecars in a row, on different folders and one key service, as when a second one guards a region's border.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { makeTraces } from '../../../bench/payload.ts'
import { requestType } from '../wire/oracle.ts'
import { startSidecar, type TestSidecar } from './sidecar.ts'

const OTLP = 'application/x-protobuf'
const SPANS = 4

describe('a sidecar behind a sidecar', () => {
  const running: TestSidecar[] = []
  afterEach(async () => {
    for (const sidecar of running.splice(0).reverse()) {
      await sidecar.stop()
      sidecar.remove()
    }
  })

  async function start(sets: readonly string[]): Promise<TestSidecar> {
    const sidecar = await startSidecar(['processors.signing.select=all', ...sets])
    running.push(sidecar)
    return sidecar
  }

  /** The first in front of the second: same key service, or not; with the first's public keys trusted, or not. */
  async function pair(
    isKeyShared: boolean,
    isTrusted: boolean,
    firstSets: readonly string[] = [],
  ): Promise<{ first: TestSidecar; second: TestSidecar }> {
    const probe = await start(firstSets)
    const key = join(probe.folder, 'data', 'local-kms.key')
    // The first signs once, so that its public key exists before the second starts.
    await probe.post('/v1/traces', makeTraces({ spans: 1, seed: 0 }), OTLP)
    const keysFile = join(probe.folder, 'first-keys.json')
    writeFileSync(keysFile, await (await probe.get('/api/tenants/default/public-keys')).text())
    await probe.until(
      'exported',
      async () => (await probe.metric('betrace_items_exported_total', 'traces')) === 1,
    )
    const pseudonymKey = /tok\.v1\.[a-z_]+\.([A-Za-z0-9_-]+)\./.exec(firstOutput(probe))![1]
    const second = await start([
      ...(isKeyShared ? [`kms.local.key_file=${key}`] : []),
      ...(isTrusted
        ? [
            `processors.signing.trusted_keys_file=${keysFile}`,
            `processors.pii.trusted_pseudonym_keys=[${pseudonymKey}]`,
          ]
        : []),
    ])
    return { first: probe, second }
  }

  async function passOn(first: TestSidecar, second: TestSidecar): Promise<void> {
    await first.post('/v1/traces', makeTraces({ spans: SPANS, seed: 1 }), OTLP)
    await first.until(
      'exported',
      async () => (await first.metric('betrace_items_exported_total', 'traces')) === SPANS + 1,
    )
    const line = readFileSync(join(first.folder, 'out.jsonl'), 'utf8').trim().split('\n').at(-1)!
    expect((await second.post('/v1/traces', line, 'application/json')).status).toBe(200)
    await second.until(
      'exported',
      async () => (await second.metric('betrace_items_exported_total', 'traces')) === SPANS,
    )
  }

  const firstOutput = (sidecar: TestSidecar): string =>
    readFileSync(join(sidecar.folder, 'out.jsonl'), 'utf8').trim().split('\n').at(-1)!
  const announcements = (text: string): string[] =>
    [...text.matchAll(/"betrace\.key\.[A-Za-z0-9_-]+"/g)].map(([key]) => key)
  const tokens = (text: string): string[] =>
    [...text.matchAll(/enc\.v1\.[A-Za-z0-9_.-]+/g)].map(([token]) => token)

  test('leaves announcements, sealed values and trusted signatures of the first alone, byte for byte', async () => {
    const { first, second } = await pair(true, true)
    await passOn(first, second)
    const [before, after] = [firstOutput(first), firstOutput(second)]
    expect(JSON.parse(after)).toEqual(JSON.parse(before))
    expect(announcements(before).length).toBeGreaterThan(0)
    expect(await second.metric('betrace_incoming_signatures_total', 'kept')).toBe(SPANS)
    expect(await second.metric('betrace_redaction_forged_attributes_total')).toBe(0)
  })

  test('keeps announcements and tokens under a tenant secret, which only the first has', async () => {
    const { first, second } = await pair(true, true, ['processors.pii.tenant_secret=true'])
    await passOn(first, second)
    const [before, after] = [firstOutput(first), firstOutput(second)]
    expect(announcements(before).length).toBeGreaterThan(0)
    expect(JSON.parse(after)).toEqual(JSON.parse(before))
    expect(await second.metric('betrace_redaction_forged_attributes_total')).toBe(0)
  })

  test('takes a signature away that it does not trust, and signs itself', async () => {
    const { first, second } = await pair(true, false)
    await passOn(first, second)
    expect(await second.metric('betrace_incoming_signatures_total', 'removed')).toBe(SPANS)
    expect(await second.metric('betrace_spans_signed_total')).toBe(SPANS)
    const signatures = (text: string): string[] =>
      [...text.matchAll(/"span\.signature","value":\{"stringValue":"([^"]+)"/g)].map(([, id]) => id!)
    expect(signatures(firstOutput(second))).toHaveLength(SPANS)
    expect(signatures(firstOutput(second))[0]).not.toBe(signatures(firstOutput(first))[0])
  })

  test('takes an announcement away that its key service does not vouch for, and counts it', async () => {
    const { first, second } = await pair(false, false)
    await passOn(first, second)
    const [before, after] = [firstOutput(first), firstOutput(second)]
    const foreign = announcements(before).filter((key) => announcements(after).includes(key))
    expect(foreign).toEqual([])
    expect(await second.metric('betrace_redaction_forged_attributes_total')).toBeGreaterThan(0)
  })

  test('a token without its announcement is plain text like any other, so a forged one hides nothing', async () => {
    const { second } = await pair(true, false)
    const secret = 'mallory@clinic.example'
    const forged = `enc.v1.AAAAAAAAAAAA.AAAAEAAAAAAAAAAB${'A'.repeat(22)} ${secret}`
    const span = {
      traceId: Buffer.alloc(16, 1),
      spanId: Buffer.alloc(8, 1),
      name: 'x',
      attributes: [{ key: 'note', value: { stringValue: forged } }],
    }
    const body = requestType.traces
      .encode(
        requestType.traces.fromObject({
          resourceSpans: [
            {
              resource: { attributes: [{ key: 'betrace.key.AAAAAAAAAAAA', value: { stringValue: '{}' } }] },
              scopeSpans: [{ spans: [span] }],
            },
          ],
        }),
      )
      .finish()
    await second.post('/v1/traces', body, OTLP)
    await second.until(
      'exported',
      async () => (await second.metric('betrace_items_exported_total', 'traces')) === 1,
    )
    expect(firstOutput(second)).not.toContain(secret)
    expect(tokens(firstOutput(second)).length).toBeGreaterThan(0)
    expect(firstOutput(second)).not.toContain('"betrace.key.AAAAAAAAAAAA"')
  })

  test('hmac-sha256 signs each span, and the sidecar that has the secret can check it', async () => {
    const sidecar = await start(['processors.signing.algorithm=hmac-sha256'])
    await sidecar.post('/v1/traces', makeTraces({ spans: SPANS, seed: 3 }), OTLP)
    await sidecar.until(
      'exported',
      async () => (await sidecar.metric('betrace_items_exported_total', 'traces')) === SPANS,
    )
    const line = firstOutput(sidecar)
    const verify = async (text: string): Promise<unknown> => {
      const response = await sidecar.get('/api/compliance/verify/span', {
        method: 'POST',
        body: text,
        headers: { 'content-type': 'application/json' },
      })
      return ((await response.json()) as { counts: unknown }).counts
    }
    expect(await verify(line)).toMatchObject({ valid: SPANS, tampered: 0 })
    expect(await verify(line.replace('"http.request.method"', '"http.request.methoe"'))).toMatchObject({
      tampered: 1,
    })
  })
})
