// Run as a process of its own: opens the local key service on the file named, and prints which master key it has.

import { silentTelemetry } from '../../../../src/base/telemetry.ts'
import { openLocalKms } from '../../../../src/kms/local/open.ts'

const kms = await openLocalKms({
  keyFile: process.argv[2]!,
  allowInProduction: false,
  nodeEnv: undefined,
  tenantKeyMapping: new Map(),
  create: true,
  log: silentTelemetry().log,
})
process.stdout.write(kms.masterKeyId)
