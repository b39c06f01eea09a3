// Who is told about requests of which not everything was taken: a counter for each kind, and now and then a line in the
// log with the place in the schema and the sender. Never what stood there.
import type { Clock } from '../base/clock.ts'
import { Counter, type Telemetry } from '../base/telemetry.ts'
import type { Faults } from '../wire/faults.ts'
import type { Signal } from '../wire/otlp.ts'

/** One sender can have a fault in every request; the counters say how many there were. */
const LOG_INTERVAL_MS = 10_000

interface Sender {
  readonly signal: Signal
  readonly peer?: string
}

export class FaultReport {
  readonly #clock: Clock
  readonly #log: Telemetry['log']
  readonly #repaired: Counter
  readonly #removed: Counter
  #quietUntilMs = Number.NEGATIVE_INFINITY
  #unloggedCount = 0

  constructor({ registry, log, clock }: Telemetry & { readonly clock: Clock }) {
    this.#clock = clock
    this.#log = log
    this.#repaired = new Counter({
      name: 'betrace_text_repaired_total',
      help: 'Texts of resources, scopes and metrics in which what is no UTF-8 was replaced',
      labelNames: ['signal'],
      registers: [registry],
    })
    this.#removed = new Counter({
      name: 'betrace_redaction_unknown_fields_removed_total',
      help: 'Fields unknown to OTLP 1.11 that were removed for what was found in them',
      labelNames: ['signal'],
      registers: [registry],
    })
    for (const signal of ['traces', 'logs', 'metrics'])
      for (const counter of [this.#repaired, this.#removed]) counter.inc({ signal }, 0)
  }

  /** Of a request that was acknowledged. */
  add({ signal, peer }: Sender, faults: Faults): void {
    this.#repaired.inc({ signal }, faults.repairedTexts)
    this.#removed.inc({ signal }, faults.removedFields)
    const nowMs = this.#clock.monotonicMs()
    if (nowMs < this.#quietUntilMs) {
      this.#unloggedCount++
      return
    }
    this.#quietUntilMs = nowMs + LOG_INTERVAL_MS
    const unlogged = this.#unloggedCount > 0 ? { unloggedRequests: this.#unloggedCount } : {}
    this.#unloggedCount = 0
    this.#log.warn({ signal, peer, ...unlogged }, `Not all of a request was taken: ${faults.message}`)
  }
}
