// The token in use: fetched with the first call, renewed before it ends, replaced when the server no longer takes it.
// A call never waits for a renewal; it waits for a login only when there is no token at all.
import type { Logger } from '../../base/telemetry.ts'
import { asKmsError, KmsError } from '../kms.ts'
import { answerError, field, numberField } from './errors.ts'
import type { VaultHttp } from './http.ts'
import type { VaultLogin, VaultToken } from './login.ts'
import type { Schedule } from './options.ts'
import { namespaceHeader } from './path.ts'

export interface VaultSessionSettings {
  readonly http: VaultHttp
  readonly login: VaultLogin
  readonly namespace: string | undefined
  readonly log: Logger
  readonly monotonicMs: () => number
  readonly random: () => number
  readonly schedule: Schedule
}

interface Current extends VaultToken {
  readonly endsAtMs: number
}

/** Renewal falls at a random point of this share of the lease, so that a fleet does not renew in one second. */
const RENEW_SHARE_MIN = 0.6
const RENEW_SHARE_JITTER = 0.15
/** A renewed lease shorter than this share of the first one nears its maximum; the next step is a login. */
const LEASE_SHARE_MIN = 0.5
const RETRY_MS_MIN = 1_000
const RETRY_MS_MAX = 30_000
/** Vault locks a role out after five refused logins in a row; waits grow so that the fifth is minutes away. */
const DENIED_WAIT_MS_MIN = 1_000
const DENIED_WAIT_MS_MAX = 60_000
/** After a login that did not help against a 403, how long a 403 is taken for a missing permission. */
const FRUITLESS_MS = 30_000
const DELAY_MS_MAX = 2 ** 31 - 1

export class VaultSession {
  readonly #parts: VaultSessionSettings
  readonly #closing = new AbortController()
  #current: Current | undefined
  #firstLeaseMs = 0
  #login: Promise<Current> | undefined
  #callOff: (() => void) | undefined
  #denied: { readonly error: KmsError; readonly waitMs: number; readonly untilMs: number } | undefined
  #fruitlessUntilMs = Number.NEGATIVE_INFINITY

  constructor(parts: VaultSessionSettings) {
    this.#parts = parts
  }

  /** A token, after a login when there is none. Rejects with `KmsError`: access_denied, network, timeout, throttled. */
  async token(abort: AbortSignal): Promise<string> {
    if (this.#current !== undefined && this.#parts.monotonicMs() < this.#current.endsAtMs)
      return this.#current.text
    return (await this.#waitForLogin(abort)).text
  }

  /** Another token than `refused`, which met a 403; `undefined` when the 403 speaks of permissions, not of the token. */
  async replacementOf(refused: string, abort: AbortSignal): Promise<string | undefined> {
    const current = this.#current?.text
    if (current !== undefined && current !== refused) return current
    if (!this.#parts.login.isRepeatable) {
      await this.#noteEnded(refused, abort)
      return undefined
    }
    const isFruitless = this.#parts.monotonicMs() < this.#fruitlessUntilMs
    if (isFruitless && (await this.#isAlive(refused, abort))) return undefined
    if (this.#current?.text === refused) this.#current = undefined
    return this.token(abort)
  }

  /** The replacement met a 403 too. */
  noteFruitless(): void {
    this.#fruitlessUntilMs = this.#parts.monotonicMs() + FRUITLESS_MS
  }

  /** Ends renewal, and the token with it when it is ours alone. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#callOff?.()
    const token = this.#current?.text
    this.#current = undefined
    if (token === undefined || !this.#parts.login.ownsToken) return
    const abort = AbortSignal.timeout(1_000)
    await this.#send('POST', 'auth/token/revoke-self', token, abort).catch(() => undefined) // it ends by itself
  }

  // The login goes on when the caller gives up: others wait for the same one, and the next caller profits.
  async #waitForLogin(abort: AbortSignal): Promise<Current> {
    const gaveUp = new KmsError('timeout', 'login', 'No login in the time that the caller had')
    if (abort.aborted) throw gaveUp
    this.#login ??= this.#logIn().finally(() => {
      this.#login = undefined
    })
    const login = this.#login
    return await new Promise<Current>((resolve, reject) => {
      const onAbort = (): void => reject(gaveUp)
      abort.addEventListener('abort', onAbort, { once: true })
      login.then(resolve, reject).finally(() => abort.removeEventListener('abort', onAbort))
    })
  }

  async #logIn(): Promise<Current> {
    const { login, log, monotonicMs } = this.#parts
    if (this.#denied !== undefined && monotonicMs() < this.#denied.untilMs) throw this.#denied.error
    try {
      const token = await login.login(this.#closing.signal)
      this.#denied = undefined
      this.#firstLeaseMs = token.leaseMs
      const current = this.#take(token)
      log.info({ method: login.method, leaseSeconds: token.leaseMs / 1_000 }, 'logged in to Vault')
      if (!token.isRenewable && !login.isRepeatable && token.leaseMs > 0)
        log.warn({ leaseSeconds: token.leaseMs / 1_000 }, 'the Vault token cannot be renewed and will end')
      return current
    } catch (thrown) {
      const error = asKmsError(thrown, 'login')
      if (error.kmsClass === 'access_denied') this.#noteDenied(error)
      throw error
    }
  }

  #noteDenied(error: KmsError): void {
    const waitMs = Math.min(DENIED_WAIT_MS_MAX, (this.#denied?.waitMs ?? DENIED_WAIT_MS_MIN / 2) * 2)
    this.#denied = { error, waitMs, untilMs: this.#parts.monotonicMs() + waitMs }
  }

  #take(token: VaultToken): Current {
    const endsAtMs = token.leaseMs > 0 ? this.#parts.monotonicMs() + token.leaseMs : Number.POSITIVE_INFINITY
    const current = { ...token, endsAtMs }
    this.#current = current
    const share = RENEW_SHARE_MIN + RENEW_SHARE_JITTER * this.#parts.random()
    const { isRepeatable } = this.#parts.login
    if (token.leaseMs > 0 && (token.isRenewable || isRepeatable)) this.#later(token.leaseMs * share)
    return current
  }

  #later(delayMs: number): void {
    this.#callOff?.()
    if (this.#closing.signal.aborted) return
    this.#callOff = this.#parts.schedule(Math.min(DELAY_MS_MAX, Math.ceil(delayMs)), () => {
      void this.#renewOrLogIn()
    })
  }

  async #renewOrLogIn(): Promise<void> {
    const { login, log, monotonicMs, random } = this.#parts
    const current = this.#current
    try {
      const nearsItsEnd = current !== undefined && current.leaseMs < this.#firstLeaseMs * LEASE_SHARE_MIN
      const canRenew = current?.isRenewable === true && !(nearsItsEnd && login.isRepeatable)
      const renewed = canRenew && (await this.#renew(current))
      if (!renewed && login.isRepeatable) await this.#waitForLogin(this.#closing.signal)
    } catch (thrown) {
      if (this.#closing.signal.aborted) return
      const error = asKmsError(thrown, 'login')
      log.warn({ error: error.kmsClass, runbook: error.runbook }, `Vault token not renewed: ${error.logText}`)
      const leftMs = (current?.endsAtMs ?? 0) - monotonicMs()
      const waitMs = Math.min(RETRY_MS_MAX, Math.max(RETRY_MS_MIN, leftMs / 4))
      this.#later(waitMs * (0.75 + 0.5 * random()))
    }
  }

  /** False when the server does not renew this token any more. Rejects when it could not be asked. */
  async #renew(current: Current): Promise<boolean> {
    const answer = await this.#send('POST', 'auth/token/renew-self', current.text, this.#closing.signal)
    if (answer.status !== 200) {
      const error = answerError('renew_token', answer)
      if (error.isRetryable) throw error
      const { log, login } = this.#parts
      if (!login.isRepeatable) log.error({ error: error.kmsClass }, `Vault token ends: ${error.logText}`)
      return false
    }
    // A login that came between has the newer token, and plans its own renewal.
    if (this.#current !== current) return true
    const auth = field(answer.body, 'auth')
    const leaseMs = (numberField(auth, 'lease_duration') ?? 0) * 1_000
    this.#take({ text: current.text, leaseMs, isRenewable: field(auth, 'renewable') === true })
    return true
  }

  /** A token that was given and has ended: no call helps, so the log says what does, each 30 s at most. */
  async #noteEnded(refused: string, abort: AbortSignal): Promise<void> {
    const { log, monotonicMs } = this.#parts
    if (monotonicMs() < this.#fruitlessUntilMs) return
    this.#fruitlessUntilMs = monotonicMs() + FRUITLESS_MS
    if (await this.#isAlive(refused, abort).catch(() => true)) return
    log.error(
      { error: 'access_denied' },
      'The Vault token was revoked or has ended. kms.vault.token is read at start only: give another and restart, or use token_file',
    )
  }

  async #isAlive(token: string, abort: AbortSignal): Promise<boolean> {
    const answer = await this.#send('GET', 'auth/token/lookup-self', token, abort)
    return answer.status === 200
  }

  #send(
    method: 'GET' | 'POST',
    path: string,
    token: string,
    abort: AbortSignal,
  ): ReturnType<VaultHttp['send']> {
    const headers = { ...namespaceHeader(this.#parts.namespace), 'X-Vault-Token': token }
    const body = method === 'POST' ? { body: {} } : {}
    return this.#parts.http.send('login', { method, path, headers, ...body }, abort)
  }
}
