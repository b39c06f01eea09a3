// What has to hold for a planted trace wherever it ends up.
import { readFileSync, writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { PLANTED, type SentTrace } from './clients.ts'
import { accountsOf, imbalance } from './metrics.ts'
import { until } from './service-process.ts'
import { betrace, type Sidecar } from './sidecar.ts'
import { attribute, findPlain, isSigned, readSpans } from './traces.ts'

/** Places of one trace that hold a planted value: five e-mail addresses and two card numbers. */
const PLANTED_COUNT = 7

const TOKEN = /enc\.v1\.[\w-]+\.[\w-]+/

/** Waits until every span of the traces is in the file. */
export async function untilArrived(file: string, traces: readonly SentTrace[]): Promise<void> {
  const wanted = traces.flatMap((trace) => trace.spans)
  await until(`${wanted.length} spans in ${file}`, () => {
    const spans = readSpans(file)
    return wanted.every((key) => spans.has(key))
  })
}

/** The trace kept its shape and its harmless values; what was planted is sealed; compliance spans are signed. */
export function expectSealedAndSigned(file: string, trace: SentTrace): void {
  const spans = readSpans(file)
  const [parent, child, linked] = trace.spans.map((key) => spans.get(key)!)
  expect(parent!.name).toBe('POST /checkout')
  expect(child!.parentSpanId).toBe(parent!.spanId)
  expect(linked!.links?.[0]?.spanId).toBe(parent!.spanId)
  expect(attribute(parent!, 'http.response.status_code')).toEqual({ intValue: '200' })
  expect(attribute(parent!, 'sampling.ratio')).toEqual({ doubleValue: 0.25 })
  expect(attribute(parent!, 'cache.hit')).toEqual({ boolValue: true })
  expect(attribute(parent!, 'compliance.framework')).toEqual({ stringValue: 'gdpr' })
  expect(String(attribute(parent!, 'user.email')?.stringValue)).toMatch(TOKEN)
  expect(JSON.stringify(attribute(parent!, 'recipients'))).toMatch(TOKEN)
  const url = String(attribute(parent!, 'url.full')?.stringValue)
  expect(url.startsWith('https://shop.example/pay?card=')).toBe(true)
  expect(url.endsWith('&currency=EUR')).toBe(true)
  expect([parent!, child!, linked!].map(isSigned)).toEqual([true, true, false])
}

/** `betrace verify` finds every signed span of the traces valid. */
export async function expectVerifies(
  sidecar: Sidecar,
  file: string,
  traces: readonly SentTrace[],
): Promise<void> {
  const keys = await sidecar.exportKeys()
  const verdict = await betrace('verify', '--trust', keys, file)
  expect(verdict, verdict.stdout + verdict.stderr).toMatchObject({ code: 0 })
  const count = traces.length
  expect(verdict.stdout).toContain(`${3 * count} spans: ${2 * count} valid, ${count} unsigned`)

  // The same file with one value changed must not pass, or the line above says nothing.
  const forged = `${file}.forged`
  writeFileSync(forged, readFileSync(file, 'utf8').replace('"gdpr"', '"gdpR"'))
  expect((await betrace('verify', '--trust', keys, forged)).code).toBe(1)
}

/** `betrace reveal` gives the planted values back from the file and the master key alone. */
export async function expectReveals(
  sidecar: Sidecar,
  file: string,
  traces: readonly SentTrace[],
): Promise<void> {
  const revealed = await betrace(
    'reveal',
    '--kms.local.key-file',
    `${sidecar.dataDirectory}/local-kms.key`,
    file,
  )
  expect(revealed, revealed.stderr).toMatchObject({ code: 0 })
  const sealed = traces.length * PLANTED_COUNT
  expect(revealed.stdout).toContain(`${sealed} of ${sealed} sealed values opened`)
  for (const value of Object.values(PLANTED)) expect(revealed.stdout).toContain(value)
}

/** The planted values are in no file, no log line and no metric. */
export async function expectNoPlainText(sidecar: Sidecar): Promise<void> {
  const values = Object.values(PLANTED)
  expect(findPlain(sidecar.directory, values)).toEqual([])
  const page = await (await fetch(`http://127.0.0.1:${sidecar.ports.admin}/q/metrics`)).text()
  for (const value of values) {
    expect(sidecar.process.output).not.toContain(value)
    expect(page).not.toContain(value)
  }
}

/** accepted + recovered = exported + queued + rejected + dropped + in flight, and all that was sent was exported. */
export async function expectBalanced(sidecar: Sidecar, spansSent: number): Promise<void> {
  await until('every accepted span is counted as exported', async () => {
    const accounts = accountsOf(await sidecar.metrics())
    return accounts.exported === spansSent && accounts.queued === 0
  })
  const accounts = accountsOf(await sidecar.metrics())
  expect(imbalance(accounts), JSON.stringify(accounts)).toBe(0)
  expect(accounts).toMatchObject({ accepted: spansSent, rejected: 0, dropped: 0, inFlight: 0 })
}
