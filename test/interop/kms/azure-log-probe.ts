// Run as a process of its own: wraps and unwraps a canary while the environment asks for all the logs there are.

import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { openAzureKms } from '../../../src/kms/azure/open.ts'

const settings = JSON.parse(process.argv[2]!) as Record<string, string> // our own test's
const text = (name: string): string => settings[name] ?? ''
const kms = await openAzureKms({
  vaultUri: text('vaultUri'),
  keyName: 'default',
  tenantId: text('tenantId'),
  clientId: text('clientId'),
  clientSecret: { reveal: () => text('clientSecret') },
  authorityHost: text('authorityHost'),
  caFile: text('caFile'),
  tenantKeyMapping: new Map(),
  request: { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 1 },
  env: {},
  log: silentTelemetry().log,
})
const context = { tenantId: 'acme', purpose: 'pii' } as const
const never = new AbortController().signal
const { wrapped, masterKeyId } = await kms.wrap(Buffer.from(text('canary')), context, never)
await kms.unwrap(wrapped, masterKeyId, context, never)
await kms.close()
console.log('round trip done')
