// Run as a process of its own: wraps and unwraps a canary, by our provider or by the client library's own methods, while
// the environment asks for all the logs there are.

import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { loadGcpSdk } from '../../../src/kms/gcp/connection.ts'
import { openGcpKms } from '../../../src/kms/gcp/open.ts'

const [whose, url, key, canaryHex] = process.argv.slice(2) as [string, string, string, string] // our own test's
const canary = Buffer.from(canaryHex, 'hex')
if (whose === 'ours') {
  const kms = await openGcpKms({
    projectId: 'p',
    location: 'europe-west1',
    keyRing: 'r',
    keyName: key,
    endpoint: url,
    tenantKeyMapping: new Map(),
    request: { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 1 },
    log: silentTelemetry().log,
  })
  const context = { tenantId: 'acme', purpose: 'pii' } as const
  const never = new AbortController().signal
  const { wrapped, masterKeyId } = await kms.wrap(canary, context, never)
  await kms.unwrap(wrapped, masterKeyId, context, never)
  await kms.close()
} else {
  const { kms, gax } = await loadGcpSdk()
  const { hostname, port } = new URL(url)
  const client = new kms.KeyManagementServiceClient({
    apiEndpoint: hostname,
    port: Number(port),
    sslCreds: gax.grpc.credentials.createInsecure(),
    authClient: new gax.googleAuthLibrary.PassThroughClient(),
  })
  const [{ ciphertext }] = await client.encrypt({ name: key, plaintext: canary })
  await client.decrypt({ name: key, ciphertext: ciphertext! })
  await client.close()
}
console.log('round trip done')
