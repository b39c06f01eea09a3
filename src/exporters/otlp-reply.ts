// What a next hop says. Read leniently: the verdict stands in the status, and an answer that cannot be read changes none.
import { decodeResponse, decodeStatus } from '../wire/reply.ts'
import type { SendOutcome } from './sender.ts'

const MESSAGE_CHARS_MAX = 256

/** The outcome of an OK with this Export…ServiceResponse. */
export function readExportResponse(body: Uint8Array): SendOutcome {
  try {
    const { rejectedItems, message } = decodeResponse(body)
    return { kind: 'ok', rejectedItems, message: message.slice(0, MESSAGE_CHARS_MAX) }
  } catch {
    return { kind: 'ok', rejectedItems: 0, message: 'the answer could not be read' }
  }
}

/** The delay in the RetryInfo of a google.rpc.Status, ms; `undefined` when there is none or it cannot be read. */
export function readRetryDelayMs(status: Uint8Array): number | undefined {
  try {
    return decodeStatus(status).retryDelayMs
  } catch {
    return undefined
  }
}
