// What the receivers count. Items are known only after the one scan of the pipeline, so the pipeline calls
// what `itemsFrom` gives it; everything that ends without a scan is counted as a request, by code.
import { Counter, Gauge, Histogram, type Registry } from '../base/telemetry.ts'
import type { Signal } from '../wire/otlp.ts'
import type { Admission } from './admission.ts'

export type Transport = 'grpc' | 'http'

const ITEM_NAMES = {
  traces: 'spans',
  logs: 'log_records',
  metrics: 'metric_points',
} as const satisfies Record<Signal, string>
const LATENCY_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

type ItemCounters = Record<Signal, Counter<'receiver' | 'transport'>>

export class ReceiverMetrics {
  readonly #accepted: ItemCounters
  readonly #refused: ItemCounters
  readonly #requests: Counter<'transport' | 'signal' | 'code'>
  readonly #seconds: Histogram<'transport' | 'signal'>

  constructor(registry: Registry, admission: Admission) {
    this.#accepted = itemCounters(registry, 'accepted', 'that were acknowledged to the client')
    this.#refused = itemCounters(registry, 'refused', 'that were counted and then refused')
    this.#requests = new Counter({
      name: 'betrace_receiver_requests_total',
      help: 'Requests answered, by the code of the error table, OK, or how the client left',
      labelNames: ['transport', 'signal', 'code'],
      registers: [registry],
    })
    this.#seconds = new Histogram({
      name: 'betrace_receiver_request_seconds',
      help: 'Time from the headers of a request to its answer',
      labelNames: ['transport', 'signal'],
      buckets: LATENCY_BUCKETS_S,
      registers: [registry],
    })
    new Gauge({
      name: 'betrace_receiver_in_flight_bytes',
      help: 'Bytes of admitted request bodies in memory',
      registers: [registry],
      collect() {
        this.set(admission.bytesUsed)
      },
    })
    new Gauge({
      name: 'betrace_receiver_waiting_requests',
      help: 'Requests that wait for memory',
      registers: [registry],
      collect() {
        this.set(admission.waitingCount)
      },
    })
  }

  /**
   * Counts the spans, log records or points of a request that was scanned, once its answer is known. For
   * `pipeline.acceptFrom`, one function per transport.
   */
  itemsFrom(
    transport: Transport,
  ): (outcome: 'accepted' | 'refused', signal: Signal, itemCount: number) => void {
    return (outcome, signal, itemCount) => {
      const counters = outcome === 'accepted' ? this.#accepted : this.#refused
      counters[signal].inc({ receiver: 'otlp', transport }, itemCount)
    }
  }

  /** One answered request. `signal` is 'none' when the path named none. */
  recordRequest(transport: Transport, signal: Signal | 'none', code: string, seconds: number): void {
    this.#requests.inc({ transport, signal, code })
    if (signal !== 'none') this.#seconds.observe({ transport, signal }, seconds)
  }
}

function itemCounters(registry: Registry, outcome: 'accepted' | 'refused', help: string): ItemCounters {
  const counter = (signal: Signal): Counter<'receiver' | 'transport'> =>
    new Counter({
      name: `otelcol_receiver_${outcome}_${ITEM_NAMES[signal]}`,
      help: `${ITEM_NAMES[signal].replace('_', ' ')} ${help}`,
      labelNames: ['receiver', 'transport'],
      registers: [registry],
    })
  return { traces: counter('traces'), logs: counter('logs'), metrics: counter('metrics') }
}
