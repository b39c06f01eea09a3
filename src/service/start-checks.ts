// What a start finds in its surroundings: files that settings name, packages that a key service needs, NODE_ENV. What is
// read is read by the start's own functions; nothing is made, opened for writing, or asked over a network.
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { SidecarError } from '../base/errors.ts'
import { processorOf } from '../config/pipeline-processors.ts'
import type { ExporterConfig, SidecarConfig } from '../config/schema.ts'
import { formatProblem } from '../config/tree.ts'
import { loadClientTls } from '../exporters/client-tls.ts'
import { checkFileTarget } from '../exporters/file.ts'
import { trustedKeys } from '../keys/signing/verifying-keys.ts'
import { readCaFile } from '../kms/ca-file.ts'
import { loadSecureContext } from '../receivers/tls.ts'
import { signalsByExporter } from './exporting.ts'
import { loadFormerKms } from './former-kms.ts'
import { readPseudonymKeys } from './key-options.ts'
import { startingReceivers, tlsSetting } from './receiving.ts'

export interface StartFindings {
  /** Every one of them would end the start. */
  readonly problems: readonly SidecarError[]
  /** A start goes on without these parts, says so, and waits for them: what does not need them works. */
  readonly waiting: readonly SidecarError[]
  /** One line each, the setting first. What a start does not end at, and will miss. */
  readonly warnings: readonly string[]
}

type Check = () => unknown

/** For a configuration without problems. A key file that is not there is none: the start makes it. */
export async function checkStart(
  config: SidecarConfig,
  env: Readonly<Record<string, string | undefined>>,
): Promise<StartFindings> {
  const warnings: string[] = []
  const problems = await failures([...(await kmsChecks(config, env, warnings)), ...fileChecks(config)])
  const waiting = await failures(partChecks(config))
  warnings.push(...(await rewrapWarnings(config, env)), ...openKeyFiles(config))
  return { problems, waiting, warnings }
}

async function failures(checks: readonly Check[]): Promise<SidecarError[]> {
  const found: SidecarError[] = []
  for (const check of checks) {
    try {
      await check()
    } catch (thrown) {
      if (!(thrown instanceof SidecarError)) throw thrown
      found.push(thrown)
    }
  }
  return found
}

/** Mounted secrets are often readable by their group, so only everybody is too many, and only worth a word. */
function openKeyFiles(config: SidecarConfig): string[] {
  const named = [
    ...startingReceivers(config).flatMap(({ grpc, http }) => [
      [`${tlsSetting('grpc')}.key_file`, grpc?.tls?.keyFile] as const,
      [`${tlsSetting('http')}.key_file`, http?.tls?.keyFile] as const,
    ]),
    ...nextHops(config).flatMap(([id, exporter]) =>
      'tls' in exporter ? [[`exporters.${id}.tls.key_file`, exporter.tls.keyFile] as const] : [],
    ),
  ]
  return named.flatMap(([setting, path]) => {
    const mode = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false })?.mode
    return mode !== undefined && (mode & 0o007) !== 0
      ? [`${setting}: everybody on this host can read it`]
      : []
  })
}

/** A start does not read these files; a rewrap by the running sidecar does, and then it is late to find out. */
async function rewrapWarnings(
  { kms }: SidecarConfig,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string[]> {
  if (kms.rewrapFrom.length === 0) return []
  const { problems } = await loadFormerKms(kms.rewrapFrom, env, process.cwd())
  return problems.map((problem) => `kms.rewrap_from: ${formatProblem(problem)}`)
}

async function kmsChecks(
  { kms, storage }: SidecarConfig,
  env: Readonly<Record<string, string | undefined>>,
  warnings: string[],
): Promise<readonly Check[]> {
  switch (kms.provider) {
    case 'local': {
      const { checkLocalFiles, refuseInProduction } = await import('../kms/local/open.ts')
      const { keyFile = join(storage.directory, 'local-kms.key'), allowInProduction } = kms.local
      const { tenantKeyMapping } = kms
      return [
        () => refuseInProduction({ allowInProduction, nodeEnv: env.NODE_ENV }),
        ...checkLocalFiles({ keyFile, tenantKeyMapping }),
      ]
    }
    case 'aws': {
      const { checkAwsPackage } = await import('../kms/aws/clients.ts')
      return [checkAwsPackage]
    }
    case 'vault': {
      const { loadVaultTls } = await import('../kms/vault/tls.ts')
      const { findLateCredential } = await import('../kms/vault/login.ts')
      const late = await findLateCredential(kms.vault)
      if (late !== undefined) warnings.push(late)
      return [() => loadVaultTls(kms.vault)]
    }
    case 'gcp': {
      const { checkGcpPackages } = await import('../kms/gcp/connection.ts')
      return [checkGcpPackages, () => readCaFile('gcp', kms.gcp.caFile)]
    }
    case 'azure': {
      const { checkAzurePackages } = await import('../kms/azure/vault.ts')
      return [checkAzurePackages, () => readCaFile('azure', kms.azure.caFile)]
    }
  }
}

function fileChecks(config: SidecarConfig): readonly Check[] {
  const { pseudonymKeyFile } = config.kms
  return [
    () => pseudonymKeyFile !== undefined && readPseudonymKeys(pseudonymKeyFile),
    () => trustedKeys(processorOf(config, 'traces', 'signing')?.trustedKeysFile),
    ...nextHops(config).map(
      ([id, exporter]) =>
        () =>
          exporter.type === 'file' && checkFileTarget(id, exporter.path),
    ),
  ]
}

function partChecks(config: SidecarConfig): readonly Check[] {
  const protocols = startingReceivers(config).flatMap(({ grpc, http }) => [
    { setting: tlsSetting('grpc'), tls: grpc?.tls },
    { setting: tlsSetting('http'), tls: http?.tls },
  ])
  return [
    ...protocols.map(
      ({ setting, tls }) =>
        () =>
          tls && loadSecureContext(tls, setting),
    ),
    ...nextHops(config).map(
      ([id, exporter]) =>
        () =>
          checkClientTls(id, exporter),
    ),
  ]
}

/** Cross checks of the configuration hold that every exporter of a pipeline is declared; others do not start. */
function nextHops(config: SidecarConfig): [id: string, ExporterConfig][] {
  return [...signalsByExporter(config).keys()].map((id) => [id, config.exporters.get(id)!])
}

function checkClientTls(id: string, exporter: ExporterConfig): void {
  if (exporter.type !== 'otlp_grpc' && exporter.type !== 'otlp_http') return
  const { tls, endpoint } = exporter
  const isPlain = exporter.type === 'otlp_grpc' ? tls.insecure : endpoint.startsWith('http://')
  if (!isPlain) loadClientTls(tls, `exporters.${id}.tls`)
}
