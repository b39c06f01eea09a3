// The trace and span id of a span or log record, as its sealed values are bound to them.
import type { Signal } from './otlp.ts'
import { Fields } from './reader.ts'

/** Field numbers of trace id and span id (trace.proto, logs.proto); metric points have none. */
const ID_FIELDS: Readonly<Record<Signal, readonly [trace: number, span: number] | undefined>> = {
  traces: [1, 2],
  logs: [9, 10],
  metrics: undefined,
}
const TRACE_ID_BYTES = 16
const SPAN_ID_BYTES = 8

/** Trace id and span id in 24 bytes, zeros where the record [start, end) has none; `undefined` for a metric point. */
export function recordIds(
  buf: Uint8Array,
  start: number,
  end: number,
  signal: Signal,
): Uint8Array | undefined {
  const fields = ID_FIELDS[signal]
  if (fields === undefined) return undefined
  const ids = new Uint8Array(TRACE_ID_BYTES + SPAN_ID_BYTES)
  let left = 2
  for (const field = new Fields(buf, start, end); left > 0 && field.next(); ) {
    if (field.field === fields[0]) left -= copyId(ids, 0, TRACE_ID_BYTES, field)
    else if (field.field === fields[1]) left -= copyId(ids, TRACE_ID_BYTES, SPAN_ID_BYTES, field)
  }
  return ids
}

function copyId(ids: Uint8Array, at: number, size: number, { buf, start, end }: Fields): number {
  if (end - start === size) ids.set(buf.subarray(start, end), at)
  return 1
}
