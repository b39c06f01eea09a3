// The SDK programs of `clients/`, and what they plant.
import { execFile } from 'node:child_process'
import { install, type ToolName } from './tools.ts'

export const CLIENT_NAMES = ['python', 'go', 'java'] as const satisfies readonly ToolName[]
export type ClientName = (typeof CLIENT_NAMES)[number]
export const PROTOCOLS = ['grpc', 'http'] as const
export type Protocol = (typeof PROTOCOLS)[number]

/** In an attribute, inside an array, in a URL, in an event, in a status message and on a link. Not on any real card. */
export const PLANTED = { email: 'alice.martin@mail.example', card: '4111111111111111' } as const

export interface SentTrace {
  /** `<trace id>-<span id>` of the parent, the child and the linked span. */
  readonly spans: readonly string[]
  /** What the SDK's exporter told its program. */
  readonly isAccepted: boolean
  readonly error: string | undefined
  readonly ms: number
}

/** Runs one SDK program to its end against an endpoint. Rejects when the program itself fails. */
export async function sendTrace(
  client: ClientName,
  protocol: Protocol,
  endpoint: string,
  timeoutS = 10,
): Promise<SentTrace> {
  const tool = await install(client)
  const env = {
    ...process.env,
    PLANTED_EMAIL: PLANTED.email,
    PLANTED_CARD: PLANTED.card,
    EXPORT_TIMEOUT_S: String(timeoutS),
  }
  const stdout = await new Promise<string>((done, fail) => {
    execFile(
      tool.command,
      [...tool.args, protocol, endpoint],
      { env, timeout: 60_000 },
      (error, out, err) => {
        if (error === null) done(out)
        else fail(new Error(`${client} over ${protocol}: ${error.message}\n${err}`))
      },
    )
  })
  // The three programs are ours and print this shape as their last line.
  const report = JSON.parse(stdout.trim().split('\n').at(-1)!) as {
    spans: [string, string][]
    accepted: boolean
    error?: string
    ms: number
  }
  return {
    spans: report.spans.map(([trace, span]) => `${trace}-${span}`),
    isAccepted: report.accepted,
    error: report.error,
    ms: report.ms,
  }
}
