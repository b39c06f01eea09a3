// What redaction counts. Rule names come from configuration, so the labels are bounded; tenants are not among them.
import { Counter, type Registry } from '../base/telemetry.ts'
import type { RedactResult } from './redact.ts'

export class RedactionMetrics {
  readonly #values: Counter
  readonly #forged: Counter
  readonly #overBudget: Counter

  constructor(registry: Registry) {
    const registers = [registry]
    this.#values = new Counter({
      name: 'betrace_redaction_values_total',
      help: 'Values, or parts of values, that a rule changed',
      labelNames: ['rule', 'action'],
      registers,
    })
    this.#forged = new Counter({
      name: 'betrace_redaction_forged_attributes_total',
      help: 'Attributes from outside under reserved names, removed',
      registers,
    })
    this.#overBudget = new Counter({
      name: 'betrace_redaction_over_budget_total',
      help: 'Values that were too much work to search and were masked whole',
      registers,
    })
  }

  /** Of a request whose result is used; one with `missing` keys is redacted again and would count twice. */
  observe(result: Pick<RedactResult, 'counts' | 'forged' | 'overBudget'>): void {
    for (const { rule, action, count } of result.counts) this.#values.inc({ rule, action }, count)
    if (result.forged > 0) this.#forged.inc(result.forged)
    if (result.overBudget > 0) this.#overBudget.inc(result.overBudget)
  }
}
