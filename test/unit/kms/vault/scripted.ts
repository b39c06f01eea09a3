// A server on loopback that answers as a test says, and keeps what it was asked. It knows nothing of Transit; what Transit
// really answers is shown by the tests against a real server.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { Writable } from 'node:stream'
import { createTelemetry } from '../../../../src/base/telemetry.ts'
import type { VaultKmsOptions } from '../../../../src/kms/vault/options.ts'

export interface Asked {
  readonly method: string
  /** Without the leading slash. */
  readonly path: string
  readonly token: string | undefined
  readonly namespace: string | undefined
  // JSON of our own making; a test that reads past it fails.
  readonly body: Record<string, string>
}

export interface Scripted {
  readonly status: number
  readonly body?: object | string
  readonly headers?: Readonly<Record<string, string>>
}

export type Script = (
  asked: Asked,
  raw: { readonly request: IncomingMessage; readonly response: ServerResponse },
) => Scripted | Promise<Scripted> | undefined

export class ScriptedVault {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly asked: Asked[] = []
  script: Script

  private constructor(script: Script) {
    this.script = script
    this.#server = createServer((request, response) => void this.#answer(request, response))
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  static async start(script: Script): Promise<ScriptedVault> {
    const vault = new ScriptedVault(script)
    vault.#server.listen(0, '127.0.0.1')
    await once(vault.#server, 'listening')
    return vault
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}` // listens on TCP, so never a path
  }

  /** Paths that were asked for, in order. */
  get paths(): string[] {
    return this.asked.map(({ path }) => path)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const text = Buffer.concat(chunks).toString('utf8')
    const header = (name: string) => request.headers[name]?.toString()
    const asked: Asked = {
      method: request.method ?? '',
      path: (request.url ?? '').replace(/^\/v1\//, ''),
      token: header('x-vault-token'),
      namespace: header('x-vault-namespace'),
      body: text === '' ? {} : JSON.parse(text),
    }
    this.asked.push(asked)
    const answer = await this.script(asked, { request, response })
    if (answer === undefined) return
    const body = typeof answer.body === 'object' ? JSON.stringify(answer.body) : (answer.body ?? '')
    response.writeHead(answer.status, answer.headers).end(body)
  }
}

/** What Transit says of a key. */
export function keyAnswer(changes: object = {}): Scripted {
  const data = {
    type: 'aes256-gcm96',
    derived: true,
    latest_version: 1,
    supports_encryption: true,
    ...changes,
  }
  return { status: 200, body: { data } }
}

export function errors(status: number, ...texts: string[]): Scripted {
  return { status, body: { errors: texts } }
}

export interface Captured {
  readonly log: VaultKmsOptions['log']
  readonly text: () => string
}

export async function capturedLog(): Promise<Captured> {
  let text = ''
  const destination = new Writable({
    write: (chunk, _encoding, done) => {
      text += String(chunk)
      done()
    },
  })
  const { log } = await createTelemetry({ level: 'debug', encoding: 'json', destination })
  return { log, text: () => text }
}

/** Time and timers that move only when told. */
export class ManualTimers {
  nowMs = 0
  readonly #timers = new Set<{ readonly atMs: number; readonly run: () => void }>()

  readonly monotonicMs = (): number => this.nowMs

  readonly schedule = (delayMs: number, run: () => void): (() => void) => {
    const timer = { atMs: this.nowMs + delayMs, run }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Delays until the timers that are set, in ms. */
  get pending(): number[] {
    return [...this.#timers].map(({ atMs }) => atMs - this.nowMs)
  }

  /** Moves to the one timer that is set and runs it. Throws when there is none, or more. */
  fire(): void {
    const [timer, ...more] = this.#timers
    if (timer === undefined || more.length > 0) throw new Error(`${this.#timers.size} timers are set`)
    this.#timers.delete(timer)
    this.nowMs = Math.max(this.nowMs, timer.atMs)
    timer.run()
  }
}
