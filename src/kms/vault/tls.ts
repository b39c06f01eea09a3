import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { vaultSetting } from './options.ts'

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

const CERTIFICATE =
  /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]+-----END (?:X509 |TRUSTED )?CERTIFICATE-----/g

/** Reads what is named and checks that it is PEM that belongs together. Rejects CONFIG with the setting's name. */
export async function loadVaultTls(files: VaultTlsFiles): Promise<VaultTls> {
  const { caFile, clientCertFile, clientKeyFile } = files
  const tls: { ca?: Buffer; cert?: Buffer; key?: Buffer } = {}
  if (caFile !== undefined) {
    tls.ca = await readNamed('ca_file', caFile)
    checkCertificates('ca_file', caFile, tls.ca)
  }
  if (clientCertFile !== undefined && clientKeyFile !== undefined) {
    const cert = await readNamed('client_cert_file', clientCertFile)
    const key = await readNamed('client_key_file', clientKeyFile)
    checkCertificates('client_cert_file', clientCertFile, cert)
    check('client_key_file', clientKeyFile, () => createSecureContext({ cert, key }))
    tls.cert = cert
    tls.key = key
  }
  return tls
}

export function sameTls(one: VaultTls, other: VaultTls): boolean {
  return (['ca', 'cert', 'key'] as const).every((part) => {
    const [a, b] = [one[part], other[part]]
    return a === undefined || b === undefined ? a === b : a.equals(b)
  })
}

async function readNamed(setting: string, path: string): Promise<Buffer> {
  return await readFile(path).catch((thrown: unknown) => {
    throw vaultSetting(setting, `${path} cannot be read`, thrown)
  })
}

// OpenSSL passes over what it cannot read in a list of authorities, and every server would then be a stranger.
function checkCertificates(setting: string, path: string, pem: Buffer): void {
  const blocks = pem.toString('latin1').match(CERTIFICATE)
  if (blocks === null) throw vaultSetting(setting, `${path} holds no certificate`)
  for (const block of blocks) check(setting, path, () => new X509Certificate(block))
}

function check(setting: string, path: string, build: () => unknown): void {
  try {
    build()
  } catch (thrown) {
    throw vaultSetting(setting, `${path} is not usable: damaged PEM, or key and certificate differ`, thrown)
  }
}
