// Calls with a token, tried again where that can help. Every call that we make may be made twice: each makes a new
// ciphertext or reads.
import { pause } from '../../base/abort.ts'
import { asKmsError, KmsError } from '../kms.ts'
import type { VaultAnswer } from './answer.ts'
import { answerError, field, unusableAnswer } from './errors.ts'
import type { VaultHttp, VaultRequest } from './http.ts'
import type { VaultSession } from './session.ts'

export interface VaultCall {
  readonly operation: string
  readonly method: 'GET' | 'POST'
  /** Below `/v1/`, encoded. */
  readonly path: string
  /** Headers beside the token, such as the namespace. */
  readonly headers: Readonly<Record<string, string>>
  readonly body?: object
}

export interface VaultClientSettings {
  readonly http: VaultHttp
  readonly session: VaultSession
  readonly attemptsMax: number
  readonly random: () => number
}

const BACKOFF_MS_FIRST = 100
const BACKOFF_MS_MAX = 1_000
/** A server that wants a longer pause than this gets it from the caller's breaker, not from a waiting request. */
const RETRY_AFTER_MS_MAX = 1_000

export class VaultClient {
  readonly #parts: VaultClientSettings

  constructor(parts: VaultClientSettings) {
    this.#parts = parts
  }

  /** `data` of the answer, untrusted. Rejects with `KmsError`. */
  async call(call: VaultCall, abort: AbortSignal): Promise<unknown> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(call, abort)
      } catch (thrown) {
        const error = ofOperation(asKmsError(thrown, call.operation), call.operation)
        const waitMs = this.#waitMs(error, attempt)
        if (waitMs === undefined || abort.aborted) throw error
        await pause(waitMs, abort)
        if (abort.aborted) throw error
      }
    }
  }

  async #attempt(call: VaultCall, abort: AbortSignal): Promise<unknown> {
    const { session } = this.#parts
    const token = await session.token(abort)
    let answer = await this.#send(call, token, abort)
    if (answer.status === 403) {
      const replacement = await session.replacementOf(token, abort)
      if (replacement !== undefined) {
        answer = await this.#send(call, replacement, abort)
        if (answer.status === 403) session.noteFruitless()
      }
    }
    if (answer.status < 200 || answer.status >= 300) throw answerError(call.operation, answer)
    const data = field(answer.body, 'data')
    if (data === undefined) throw unusableAnswer(call.operation)
    return data
  }

  #send(call: VaultCall, token: string, abort: AbortSignal): Promise<VaultAnswer> {
    const { operation, method, path, headers, body } = call
    const request: VaultRequest = {
      method,
      path,
      headers: { ...headers, 'X-Vault-Token': token },
      ...(body === undefined ? {} : { body }),
    }
    return this.#parts.http.send(operation, request, abort)
  }

  #waitMs(error: KmsError, attempt: number): number | undefined {
    if (!error.isRetryable || attempt >= this.#parts.attemptsMax) return undefined
    const askedMs = error.retryAfterMs ?? 0
    if (askedMs > RETRY_AFTER_MS_MAX) return undefined
    const backoffMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_FIRST * 2 ** (attempt - 1))
    return Math.max(askedMs, backoffMs * (0.5 + this.#parts.random() / 2))
  }
}

/** A failed login is the failure of the operation that needed it. */
function ofOperation(error: KmsError, operation: string): KmsError {
  if (error.operation === operation) return error
  const options = error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }
  return new KmsError(error.kmsClass, operation, `${error.operation}: ${error.providerMessage}`, {
    ...options,
    cause: error,
  })
}
