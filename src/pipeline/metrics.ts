import { Histogram, type Registry } from '../base/telemetry.ts'

export type Stage = 'request' | 'redact' | 'sign' | 'deliver'

/** How long each stage of a request took. One observation a request and stage, never one a span. */
export class PipelineMetrics {
  readonly #seconds: Histogram

  constructor(registry: Registry) {
    this.#seconds = new Histogram({
      name: 'betrace_stage_seconds',
      help: 'Time a request spent in a stage of the pipeline',
      labelNames: ['stage'],
      buckets: [
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
      ],
      registers: [registry],
    })
  }

  observe(stage: Stage, elapsedMs: number): void {
    this.#seconds.observe({ stage }, elapsedMs / 1000)
  }
}
