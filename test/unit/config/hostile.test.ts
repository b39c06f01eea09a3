import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { loadConfig } from '../../../src/config/load.ts'

const folder = mkdtempSync(join(tmpdir(), 'betrace-hostile-'))
afterAll(() => rmSync(folder, { recursive: true }))

// Shapes that are nearly right: the real keys with anything below them.
const KEYS = [
  'receivers',
  'otlp',
  'protocols',
  'grpc',
  'http',
  'endpoint',
  'tls',
  'auth',
  'tenants',
  'allow',
  'kms',
  'provider',
  'cache',
  'tenant_key_mapping',
  'processors',
  'pii',
  'signing',
  'select',
  'rules',
  'exporters',
  'file/out',
  'otlp_grpc/x',
  'headers',
  'storage',
  'ack',
  'service',
  'pipelines',
  'traces',
  'logs',
  'admin',
  'token',
  'limits',
  '__proto__',
  'constructor',
  '',
  'a.b',
]
const { config: anything } = fc.letrec<{ config: unknown; map: unknown }>((tie) => ({
  map: fc.dictionary(fc.constantFrom(...KEYS), tie('config'), { maxKeys: 8, noNullPrototype: true }),
  config: fc.oneof(
    { depthSize: 'large', maxDepth: 7 },
    fc.constantFrom(
      null,
      true,
      0,
      -1,
      1e300,
      '',
      'otlp',
      '60m',
      `\${env:X}`,
      `\${env:X:-y}`,
      '127.0.0.1:0',
      '\u0000',
    ),
    tie('map'),
    fc.array(tie('config'), { maxLength: 3 }),
  ),
}))

async function check(text: string, sets: string[]): Promise<void> {
  writeFileSync(join(folder, 'c.yaml'), text)
  const { config, problems } = await loadConfig({ files: ['c.yaml'], sets, env: {}, cwd: folder })
  // A configuration comes out exactly when there is no problem, and every problem has a message and a source.
  expect(config === undefined).toBe(problems.length > 0)
  for (const problem of problems) expect(problem.message !== '' && problem.file !== '').toBe(true)
}

test('anything that YAML can say gives problems or a configuration, never an exception', async () => {
  await fc.assert(
    fc.asyncProperty(anything, fc.array(fc.string(), { maxLength: 2 }), (value, sets) =>
      check(stringify(value) ?? '', sets),
    ),
    { numRuns: 400 },
  )
}, 15_000)

test('any text at all gives problems or a configuration, never an exception', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.constantFrom(...'[]{}:,-&*!|>%@`"\'#\n $a1'.split(''))).map((parts) => parts.join('')),
  )
  await fc.assert(
    fc.asyncProperty(text, (value) => check(value, [value])),
    { numRuns: 400 },
  )
}, 15_000)
