import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { vaultSetting } from './vault-options.ts'

export interface VaultTlsFiles {
  readonly caFile: string | undefined
  readonly clientCertFile: string | undefined
  readonly clientKeyFile: string | undefined
}

export interface VaultTls {
  readonly ca?: Buffer
  readonly cert?: Buffer
  readonly key?: Buffer
}

/** Reads what is named and checks that it is PEM that belongs together. Rejects CONFIG with the setting's name. */
export async function loadVaultTls(files: VaultTlsFiles): Promise<VaultTls> {
  const { caFile, clientCertFile, clientKeyFile } = files
  if ((clientCertFile === undefined) !== (clientKeyFile === undefined)) {
    const missing = clientKeyFile === undefined ? 'client_key_file' : 'client_cert_file'
    throw vaultSetting(missing, 'is needed beside the other one of client_cert_file and client_key_file')
  }
  const tls: { ca?: Buffer; cert?: Buffer; key?: Buffer } = {}
  if (caFile !== undefined) {
    tls.ca = await readPem('ca_file', caFile)
    check('ca_file', caFile, () => createSecureContext({ ca: tls.ca! }))
  }
  if (clientCertFile !== undefined && clientKeyFile !== undefined) {
    tls.cert = await readPem('client_cert_file', clientCertFile)
    tls.key = await readPem('client_key_file', clientKeyFile)
    check('client_cert_file', clientCertFile, () => createSecureContext({ cert: tls.cert!, key: tls.key! }))
  }
  return tls
}

export function sameTls(one: VaultTls, other: VaultTls): boolean {
  return (['ca', 'cert', 'key'] as const).every((part) => {
    const [a, b] = [one[part], other[part]]
    return a === undefined || b === undefined ? a === b : a.equals(b)
  })
}

async function readPem(setting: string, path: string): Promise<Buffer> {
  const bytes = await readFile(path).catch((thrown: unknown) => {
    throw vaultSetting(setting, `${path} cannot be read`, thrown)
  })
  // OpenSSL takes a file without any certificate for an empty list, and every server would then be a stranger.
  if (!bytes.includes('-----BEGIN ')) throw vaultSetting(setting, `${path} holds no PEM`)
  return bytes
}

function check(setting: string, path: string, build: () => unknown): void {
  try {
    build()
  } catch (thrown) {
    throw vaultSetting(
      setting,
      `${path} is not usable: damaged PEM, or certificate and key do not match`,
      thrown,
    )
  }
}
