// Run as a process of its own, so that the environment is all it has: opens AWS KMS with the SDK's default credentials,
// has a data key generated and unwrapped, and prints how that went. Arguments: endpoint, key, patience in milliseconds.

import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { openAwsKms } from '../../../src/kms/aws/open.ts'
import { KmsError } from '../../../src/kms/kms.ts'

const [endpoint, masterKeyId, patienceMs] = process.argv.slice(2)
const kms = await openAwsKms({
  masterKeyId: masterKeyId!,
  region: '',
  endpoint,
  useFipsEndpoint: false,
  replicas: [],
  tenantKeyMapping: new Map(),
  request: { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 2 },
  log: silentTelemetry().log,
})
const context = { tenantId: 'acme', purpose: 'pii' } as const
const signal = AbortSignal.timeout(Number(patienceMs))
const startMs = performance.now()
let outcome: object
try {
  const key = await kms.generateDataKey(context, signal)
  const opened = await kms.unwrap(key.wrapped, key.masterKeyId, context, signal)
  outcome = { isSame: Buffer.compare(opened, key.plaintext) === 0 }
} catch (error) {
  if (!(error instanceof KmsError)) throw error
  outcome = { kmsClass: error.kmsClass, logText: error.logText }
}
process.stdout.write(JSON.stringify({ ...outcome, tookMs: performance.now() - startMs }))
await kms.close()
// What the SDK still waits for when the caller has given up must not keep the process.
process.exit(0)
