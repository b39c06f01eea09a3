import { readFileSync } from 'node:fs'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { asSidecarError, SidecarError } from '../base/errors.ts'
import { certificatesProblem } from '../base/pem.ts'
import { TLS_SUITES } from '../base/tls-suites.ts'
import type { ClientTlsOptions } from './options.ts'
import type { SenderProblem } from './sender.ts'
import { TLS_FILES_REASON } from './verdicts.ts'

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

/**
 * The TLS files of one next hop. Those that do not load are waited for: they may be mended while we run, and the other next
 * hops need nothing of them. What has loaded stays in force, whatever becomes of the files.
 */
export class ClientTlsFiles {
  readonly #options: ClientTlsOptions | undefined
  readonly #setting: string
  #loaded: ClientTls | undefined

  constructor(options: ClientTlsOptions | undefined, setting: string) {
    this.#options = options
    this.#setting = setting
  }

  /** Reads the files anew until they load. Throws CONFIG as `loadClientTls` does. */
  load(): ClientTls {
    this.#loaded ??= loadClientTls(this.#options, this.#setting)
    return this.#loaded
  }

  problem(): SenderProblem | undefined {
    try {
      this.load()
      return undefined
    } catch (thrown) {
      return { reason: TLS_FILES_REASON, message: asSidecarError(thrown).message }
    }
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
