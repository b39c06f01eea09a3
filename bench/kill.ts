// kill -9 under load with the next hop down; then the next hop comes back, the server is restarted, and what had been
// acknowledged is compared with what arrives.
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../test/interop/service-process.ts'
import { startSink } from './sink.ts'
import { SpanLedger, UniqueLoad } from './unique-load.ts'

const LOAD_SECONDS = 3
const SPANS_PER_SECOND = 8_000
const ARRIVAL_MS_MAX = 60_000
/** Nothing new for so long: what is missing then is not on its way. */
const QUIET_MS = 5_000

/** A server that can be killed and started again on the same ports and files. */
export interface Killable {
  readonly ports: { readonly grpc: number }
  readonly process: { kill(): Promise<void> }
  restart(): Promise<void>
  remove(): Promise<void>
}

export interface KillResult {
  readonly label: string
  readonly acknowledged: number
  readonly arrived: number
  readonly lost: number
  /** Spans that arrived more than once. */
  readonly repeated: number
}

export async function killUnderLoad(
  label: string,
  start: (sinkPort: number) => Promise<Killable>,
): Promise<KillResult> {
  const [sinkPort] = await freePorts(1)
  const ledger = new SpanLedger()
  const server = await start(sinkPort!)
  try {
    const options = {
      port: server.ports.grpc,
      spans: 64,
      inFlight: 8,
      spansPerSecond: SPANS_PER_SECOND,
      prefix: 1,
    }
    const load = new UniqueLoad(options, ledger)
    await load.start()
    await sleep(LOAD_SECONDS * 1000)
    await server.process.kill()
    await load.stop()
    const sink = await startSink({ port: sinkPort!, onBody: (body) => ledger.arrive(body) })
    try {
      await server.restart()
      await untilQuiet(ledger)
    } finally {
      await sink.close()
    }
  } finally {
    await server.remove()
  }
  const { acknowledged, arrived, lost, repeated } = ledger
  return { label, acknowledged: acknowledged.size, arrived: arrived.size, lost, repeated }
}

async function untilQuiet(ledger: SpanLedger): Promise<void> {
  const deadline = performance.now() + ARRIVAL_MS_MAX
  let seen = -1
  let sinceMs = performance.now()
  while (performance.now() < deadline && ledger.lost > 0) {
    if (ledger.arrived.size !== seen) {
      seen = ledger.arrived.size
      sinceMs = performance.now()
    } else if (performance.now() - sinceMs > QUIET_MS) return
    await sleep(100)
  }
}
