import { readFileSync } from 'node:fs'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { SidecarError } from '../base/errors.ts'
import { certificatesProblem } from '../base/pem.ts'
import { TLS_SUITES } from '../base/tls-suites.ts'
import type { ClientTlsOptions } from './options.ts'

export interface ClientTls {
  readonly secureContext: SecureContext
  readonly servername?: string
}

/** Reads and checks the files. Throws CONFIG: one line that names the setting, never what a file holds. */
export function loadClientTls(options: ClientTlsOptions | undefined, setting: string): ClientTls {
  const material: SecureContextOptions = { minVersion: 'TLSv1.2', ciphers: TLS_SUITES }
  if (options?.caFile) material.ca = readAuthorities(options.caFile, `${setting}.ca_file`)
  if (options?.certFile) material.cert = readPem(options.certFile, `${setting}.cert_file`)
  if (options?.keyFile) material.key = readPem(options.keyFile, `${setting}.key_file`)
  try {
    const secureContext = createSecureContext(material)
    return options?.serverNameOverride
      ? { secureContext, servername: options.serverNameOverride }
      : { secureContext }
  } catch (cause) {
    throw new SidecarError('CONFIG', `${setting}: certificate, key and ca_file do not work together`, {
      cause,
    })
  }
}

function readAuthorities(path: string, setting: string): Buffer {
  const pem = readPem(path, setting)
  const problem = certificatesProblem(pem)
  if (problem !== undefined) throw new SidecarError('CONFIG', `${setting}: ${problem}`)
  return pem
}

function readPem(path: string, setting: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new SidecarError('CONFIG', `${setting}: cannot be read`, { cause })
  }
}
