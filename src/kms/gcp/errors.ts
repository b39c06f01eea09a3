// What Cloud KMS and its client say, in the one taxonomy. The original error is never kept: it holds headers.
import { type KmsClass, KmsError } from '../kms.ts'
import { providerText } from '../provider-text.ts'

/** By number of google.rpc.Code. What is not here is our own mistake. */
const CLASS_OF_CODE: ReadonlyMap<number, KmsClass> = new Map([
  [1, 'network'], // CANCELLED, by the server: we look at our own abort first
  [2, 'network'], // UNKNOWN
  [4, 'timeout'], // DEADLINE_EXCEEDED
  [5, 'key_not_found'], // NOT_FOUND
  [7, 'access_denied'], // PERMISSION_DENIED
  [8, 'throttled'], // RESOURCE_EXHAUSTED
  [9, 'key_disabled'], // FAILED_PRECONDITION: disabled, destroyed, scheduled for destruction
  [10, 'network'], // ABORTED
  [13, 'network'], // INTERNAL
  [14, 'network'], // UNAVAILABLE
  [15, 'network'], // DATA_LOSS
  [16, 'access_denied'], // UNAUTHENTICATED
])
const STATUS_MAX = 16
const INVALID_ARGUMENT = 3
/** The service found our request damaged. */
const CHECKSUM_TEXT = /checksum|crc32c/i

export function gcpError(thrown: unknown, operation: string): KmsError {
  const code = member(thrown, 'code')
  const details = member(thrown, 'details')
  const message = member(thrown, 'message')
  const text = providerText(typeof details === 'string' && details !== '' ? details : textOf(message))
  // Without a gRPC status the call never left us: no credentials, or none to be had. Other numbers are of HTTP.
  if (typeof code !== 'number' || code > STATUS_MAX)
    return new KmsError('network', operation, `no call was possible: ${text}`)
  const retryAfterMs = retryDelayMs(thrown)
  return new KmsError(
    classOf(code, text, operation),
    operation,
    `${text} (gRPC status ${code})`,
    retryAfterMs === undefined ? {} : { retryAfterMs },
  )
}

function classOf(code: number, text: string, operation: string): KmsClass {
  if (code === INVALID_ARGUMENT && CHECKSUM_TEXT.test(text)) return 'network'
  if (code === INVALID_ARGUMENT) return operation === 'decrypt' ? 'invalid_ciphertext' : 'bad_request'
  // The client's own failure to get a token, which it dresses up as an answer.
  if (text.startsWith('Getting metadata from plugin failed')) return 'network'
  return CLASS_OF_CODE.get(code) ?? 'bad_request'
}

/** google.rpc.RetryInfo, where the service sent one. */
function retryDelayMs(thrown: unknown): number | undefined {
  const details = member(thrown, 'statusDetails')
  for (const detail of Array.isArray(details) ? details : []) {
    const delay = member(detail, 'retryDelay')
    if (delay === undefined) continue
    const delayMs = Number(member(delay, 'seconds') ?? 0) * 1_000 + Number(member(delay, 'nanos') ?? 0) / 1e6
    if (Number.isFinite(delayMs) && delayMs >= 0) return Math.ceil(delayMs)
  }
  return undefined
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function textOf(value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : 'the client gave no reason'
}
