// Run as a process of its own: imports what is named, opens a key service when asked, and prints which packages of a
// cloud were loaded.
import { createRequire, registerHooks } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const loaded = new Set<string>()
registerHooks({
  load: (url, context, next) => {
    const name = /node_modules\/(@(?:aws-sdk|smithy|google-cloud|azure)\/[^/]+|google-gax)\//.exec(url)?.[1]
    if (name !== undefined) loaded.add(name)
    return next(url, context)
  },
})

const [what, folder = join(tmpdir(), 'nothing')] = process.argv.slice(2)
const { openLocalKms } = await import('../../../src/keys/providers/local.ts')
await import('../../../src/service/kms.ts')
const { openAwsKms } = await import('../../../src/keys/providers/aws.ts')
const { silentTelemetry } = await import('../../../src/telemetry.ts')
const { log } = silentTelemetry()
if (what === 'local') {
  await openLocalKms({
    keyFile: join(folder, 'local-kms.key'),
    allowInProduction: false,
    nodeEnv: undefined,
    tenantKeyMapping: new Map(),
    create: true,
    log,
  })
} else {
  const { awsOptions } = await import('./aws-answers.ts')
  await openAwsKms(awsOptions({ log }))
}
// What CommonJS loads from within CommonJS need not pass the hook.
for (const path of Object.keys(createRequire(import.meta.url).cache)) {
  const name = /node_modules\/(@(?:aws-sdk|smithy|google-cloud|azure)\/[^/]+|google-gax)\//.exec(path)?.[1]
  if (name !== undefined) loaded.add(name)
}
process.stdout.write(JSON.stringify([...loaded]))
