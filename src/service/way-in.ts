// One receiver on one of its protocols. Its TLS files may be damaged when we start: then it does not listen, never in
// plaintext instead, and looks again until they load, while the other ways in and everything behind them work.
import { asSidecarError, loggable, SidecarError } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import type { BoundAddress } from '../receivers/listener.ts'
import type { Transport } from '../receivers/metrics.ts'
import type { Receiver } from '../receivers/receiver.ts'
import { loadSecureContext, type TlsServerOptions } from '../receivers/tls.ts'

const LOOK_AGAIN_MS = 1_000

export interface WayInParts {
  readonly transport: Transport
  readonly tls: TlsServerOptions | undefined
  /** Where the TLS files are named. */
  readonly setting: string
  /** Throws CONFIG. */
  readonly create: () => Receiver
  readonly log: Logger
}

export class WayIn {
  readonly transport: Transport
  readonly #parts: WayInParts
  #receiver: Receiver | undefined
  #problem: SidecarError | undefined
  #timer: NodeJS.Timeout | undefined
  #opening: Promise<void> | undefined

  constructor(parts: WayInParts) {
    this.#parts = parts
    this.transport = parts.transport
    this.#problem = this.#tlsProblem()
    // What else is wrong with the settings ends the start here, before anything listens.
    if (this.#problem === undefined) this.#receiver = parts.create()
  }

  /** Why it does not listen; `undefined` where it does. */
  get problem(): SidecarError | undefined {
    return this.#problem
  }

  /** `undefined` where it waits for its TLS files. Rejects CONFIG, with TLS files that load. */
  async start(): Promise<BoundAddress | undefined> {
    if (this.#receiver) return this.#receiver.start()
    const { transport, log } = this.#parts
    const reason = this.#problem?.message
    log.error(
      { transport, reason },
      `Not receiving OTLP by ${transport}: its TLS files do not load; looking again`,
    )
    this.#timer = setInterval(() => {
      this.#opening ??= this.#lookAgain().finally(() => {
        this.#opening = undefined
      })
    }, LOOK_AGAIN_MS).unref()
    return undefined
  }

  async stopAccepting(): Promise<void> {
    clearInterval(this.#timer)
    await this.#opening
    await this.#receiver?.stopAccepting()
  }

  async close(graceMs: number): Promise<void> {
    await this.stopAccepting()
    await this.#receiver?.close(graceMs)
  }

  async #lookAgain(): Promise<void> {
    const problem = this.#tlsProblem()
    if (problem !== undefined) {
      this.#problem = problem
      return
    }
    const { transport, log, create } = this.#parts
    let receiver: Receiver | undefined
    try {
      receiver = create()
      const { host, port } = await receiver.start()
      this.#receiver = receiver
      this.#problem = undefined
      clearInterval(this.#timer)
      log.info({ transport, host, port }, `Receiving OTLP by ${transport} on ${host}:${port}`)
    } catch (thrown) {
      await receiver?.close(0)
      const error = asSidecarError(thrown)
      // The port was taken meanwhile: said once, and tried again.
      if (this.#problem?.message !== error.message)
        log.error({ transport, ...loggable(thrown) }, `Not receiving OTLP by ${transport}: ${error.message}`)
      this.#problem = error
    }
  }

  #tlsProblem(): SidecarError | undefined {
    const { tls, setting } = this.#parts
    if (tls === undefined) return undefined
    try {
      loadSecureContext(tls, setting)
      return undefined
    } catch (thrown) {
      if (thrown instanceof SidecarError) return thrown
      throw thrown
    }
  }
}
