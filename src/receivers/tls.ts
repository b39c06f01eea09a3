// TLS for both transports. Files are checked against each other at start, so that a wrong pair is one line and not a
// failing handshake later, and read again when they change: certificates are renewed more often than we are restarted.
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { createSecureContext, type SecureContextOptions, type Server, type TlsOptions } from 'node:tls'
import { SidecarError } from '../base/errors.ts'
import { HEADERS_TIMEOUT_MS } from '../base/limits.ts'
import { certificatesProblem } from '../base/pem.ts'
import type { Logger } from '../base/telemetry.ts'
import { TLS_SUITES } from '../base/tls-suites.ts'

export interface TlsServerOptions {
  /** PEM: our certificate, then its chain. */
  readonly certFile: string
  /** PEM: its private key. */
  readonly keyFile: string
  /** PEM: who may sign client certificates. Given: every client must show one (mutual TLS). */
  readonly clientCaFile?: string | undefined
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined
  /** How often to look whether a file has changed, ms; 0 switches it off. */
  readonly reloadIntervalMs?: number | undefined
}

const RELOAD_INTERVAL_MS = 10_000

/** Reads and checks the files. Throws CONFIG: one line that names the setting, never what a file holds. */
export function loadSecureContext(options: TlsServerOptions, setting: string): SecureContextOptions {
  const cert = readPem(options.certFile, `${setting}.cert_file`)
  const key = readPem(options.keyFile, `${setting}.key_file`)
  const certificate = check(`${setting}.cert_file: holds no certificate`, () => new X509Certificate(cert))
  const privateKey = check(
    `${setting}.key_file: holds no private key`,
    (): KeyObject => createPrivateKey(key),
  )
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new SidecarError('CONFIG', `${setting}.key_file: is not the key of cert_file`)
  }
  const context: SecureContextOptions = {
    cert,
    key,
    minVersion: options.minVersion ?? 'TLSv1.2',
    ciphers: TLS_SUITES,
  }
  if (options.clientCaFile !== undefined) {
    const ca = readPem(options.clientCaFile, `${setting}.client_ca_file`)
    const problem = certificatesProblem(ca)
    if (problem !== undefined) throw new SidecarError('CONFIG', `${setting}.client_ca_file: ${problem}`)
    context.ca = ca
  }
  check(`${setting}: certificate, key and client_ca_file do not work together`, () =>
    createSecureContext(context),
  )
  return context
}

/** Options for `tls.createServer` and `https.createServer`. Throws CONFIG as `loadSecureContext` does. */
export function tlsServerOptions(
  options: TlsServerOptions,
  setting: string,
  protocol: 'h2' | 'http/1.1',
): TlsOptions {
  const isMutual = options.clientCaFile !== undefined
  return {
    ...loadSecureContext(options, setting),
    ALPNProtocols: [protocol],
    handshakeTimeout: HEADERS_TIMEOUT_MS,
    requestCert: isMutual,
    rejectUnauthorized: isMutual,
  }
}

export interface TlsWatch {
  stop(): void
}

/** Serves changed files to new connections. A set that does not load is logged and the old one stays. */
export function watchTlsFiles(
  server: Server,
  options: TlsServerOptions,
  setting: string,
  log: Logger,
): TlsWatch {
  let seen = fingerprint(options)
  const look = (): void => {
    const now = fingerprint(options)
    if (now === seen) return
    try {
      server.setSecureContext(loadSecureContext(options, setting))
    } catch (error) {
      // Files are replaced one after the other: the next look may find a pair that fits.
      log.warn(
        { setting, reason: (error as Error).message },
        'changed TLS files do not load; the old ones stay',
      )
      return
    }
    seen = now
    log.info({ setting }, 'TLS files were read again')
  }
  const intervalMs = options.reloadIntervalMs ?? RELOAD_INTERVAL_MS
  const timer = intervalMs > 0 ? setInterval(look, intervalMs).unref() : undefined
  return { stop: () => clearInterval(timer) }
}

// Kubernetes swaps a symlink of the folder: stat follows it, so the inode changes.
function fingerprint(options: TlsServerOptions): string {
  const files = [options.certFile, options.keyFile, options.clientCaFile ?? '']
  return files
    .map((file) => {
      const stat = file === '' ? undefined : statSync(file, { throwIfNoEntry: false })
      return stat ? `${stat.ino}:${stat.size}:${stat.mtimeMs}` : 'none'
    })
    .join(' ')
}

function readPem(file: string, setting: string): Buffer {
  return check(`${setting}: cannot be read`, () => readFileSync(file))
}

function check<T>(message: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    throw new SidecarError('CONFIG', message, { cause })
  }
}
