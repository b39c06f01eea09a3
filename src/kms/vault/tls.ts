import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { certificatesProblem } from '../../base/pem.ts'
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

/** Reads what is named and checks that it is PEM that belongs together. Rejects CONFIG with the setting's name. */
export async function loadVaultTls(files: VaultTlsFiles): Promise<VaultTls> {
  const { caFile, clientCertFile, clientKeyFile } = files
  const tls: { ca?: Buffer; cert?: Buffer; key?: Buffer } = {}
  if (caFile !== undefined) {
    const ca = await readNamed('ca_file', caFile)
    checkHolds('ca_file', caFile, ca)
    tls.ca = ca
  }
  if (clientCertFile !== undefined && clientKeyFile !== undefined) {
    const cert = await readNamed('client_cert_file', clientCertFile)
    const key = await readNamed('client_key_file', clientKeyFile)
    checkHolds('client_cert_file', clientCertFile, cert)
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

function checkHolds(setting: string, path: string, pem: Buffer): void {
  const problem = certificatesProblem(pem)
  if (problem !== undefined) throw vaultSetting(setting, `${path} ${problem}`)
}

function check(setting: string, path: string, build: () => unknown): void {
  try {
    build()
  } catch (thrown) {
    throw vaultSetting(setting, `${path} is not usable: damaged PEM, or key and certificate differ`, thrown)
  }
}
