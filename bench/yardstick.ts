// The yardstick: what protobufjs costs merely to decode and encode the same requests, on the same core in the same run.
//
//   node bench/yardstick.ts '{"spans":512,"seconds":2}'
import { fileURLToPath } from 'node:url'
import type protobuf from 'protobufjs'
import { requestType } from '../test/unit/wire/oracle.ts'
import { makeTraces } from './payload.ts'

export interface YardstickOptions {
  readonly spans: number
  readonly seconds: number
}

export interface YardstickResult {
  /** CPU microseconds of the whole process per span, collector threads included. */
  readonly cpuUsPerSpan: number
}

const PAYLOAD_COUNT = 4
const WARM_UP_SHARE = 0.25

export function measureYardstick({ spans, seconds }: YardstickOptions): YardstickResult {
  const type = requestType.traces
  const payloads = Array.from({ length: PAYLOAD_COUNT }, (_, seed) => makeTraces({ spans, seed: seed + 1 }))
  recode(type, payloads, seconds * WARM_UP_SHARE, spans)
  const before = process.cpuUsage()
  const spanCount = recode(type, payloads, seconds, spans)
  const used = process.cpuUsage(before)
  return { cpuUsPerSpan: (used.user + used.system) / spanCount }
}

function recode(
  type: protobuf.Type,
  payloads: readonly Uint8Array[],
  seconds: number,
  spans: number,
): number {
  const untilMs = performance.now() + seconds * 1000
  let count = 0
  let bytes = 0
  for (let index = 0; performance.now() < untilMs; index++) {
    bytes += type.encode(type.decode(payloads[index % payloads.length]!)).finish().length
    count += spans
  }
  if (bytes === 0) throw new Error('nothing was encoded')
  return count
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // The caller is another file of this folder; what it passes has this shape.
  console.log(JSON.stringify(measureYardstick(JSON.parse(process.argv[2] ?? '{}') as YardstickOptions)))
}
