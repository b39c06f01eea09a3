// An HTTP server on loopback that says what it is told to, in the words of AWS KMS, to the real SDK. It has no keys: what
// the emulators can do is tested against them; this is for the answers that no emulator gives.
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { silentTelemetry } from '../../../../src/base/telemetry.ts'
import { type AwsKmsOptions, openAwsKms } from '../../../../src/kms/aws/open.ts'
import type { Kms } from '../../../../src/kms/kms.ts'

export interface Asked {
  /** `GenerateDataKey`, `Decrypt`, … */
  readonly operation: string
  readonly body: Readonly<Record<string, unknown>>
  readonly headers: IncomingHttpHeaders
}

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
}

export const ARN = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'
export const SECRET_KEY = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'

export class AwsAnswers {
  readonly asked: Asked[] = []
  readonly #server: Server
  url = ''
  answer: (asked: Asked) => Answer

  private constructor(answer: (asked: Asked) => Answer) {
    this.answer = answer
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const asked: Asked = {
          operation: String(request.headers['x-amz-target']).replace('TrentService.', ''),
          // The SDK sends JSON objects only.
          body: JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>,
          headers: request.headers,
        }
        this.asked.push(asked)
        const { status, headers, body } = this.answer(asked)
        response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1', ...headers }).end(body)
      })
    })
  }

  static async start(answer: (asked: Asked) => Answer): Promise<AwsAnswers> {
    const server = new AwsAnswers(answer)
    await new Promise<void>((done) => server.#server.listen(0, '127.0.0.1', done))
    const { port } = server.#server.address() as AddressInfo // listens on TCP, so never a path
    server.url = `http://127.0.0.1:${port}`
    return server
  }

  open(overrides: Partial<AwsKmsOptions> = {}): Promise<Kms> {
    return openAwsKms(awsOptions({ endpoint: this.url, ...overrides }))
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((done) => this.#server.close(done))
  }
}

export function awsOptions(overrides: Partial<AwsKmsOptions> = {}): AwsKmsOptions {
  return {
    masterKeyId: ARN,
    region: '',
    endpoint: undefined,
    useFipsEndpoint: false,
    replicas: [],
    tenantKeyMapping: new Map(),
    request: { connectTimeoutMs: 1_000, timeoutMs: 2_000, attemptsMax: 1 },
    log: silentTelemetry().log,
    credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: SECRET_KEY },
    ...overrides,
  }
}

export function json(body: unknown): Answer {
  return { status: 200, body: JSON.stringify(body) }
}

export function failure(status: number, name: string, message: string): Answer {
  return { status, body: JSON.stringify({ __type: name, message }) }
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
