import { Counter, type Registry } from '../base/telemetry.ts'

/** Counts of evidence, one update per request. */
export class EvidenceMetrics {
  readonly #signed: Counter
  readonly #statements: Counter
  readonly #foreign: Counter

  constructor(registry: Registry) {
    const registers = [registry]
    this.#signed = new Counter({ name: 'betrace_spans_signed_total', help: 'Spans signed', registers })
    this.#statements = new Counter({
      name: 'betrace_statement_records_total',
      help: 'Records of statements handed to the store, tips and repetitions included',
      registers,
    })
    this.#foreign = new Counter({
      name: 'betrace_incoming_signatures_total',
      help: 'Spans that came with a signature: kept if it was good, removed otherwise',
      labelNames: ['outcome'],
      registers,
    })
    this.#foreign.inc({ outcome: 'kept' }, 0)
    this.#foreign.inc({ outcome: 'removed' }, 0)
  }

  signed(signedCount: number, keptCount: number, forgedCount: number, recordCount: number): void {
    if (signedCount > 0) this.#signed.inc(signedCount)
    if (recordCount > 0) this.#statements.inc(recordCount)
    if (keptCount > 0) this.#foreign.inc({ outcome: 'kept' }, keptCount)
    if (forgedCount > 0) this.#foreign.inc({ outcome: 'removed' }, forgedCount)
  }
}
