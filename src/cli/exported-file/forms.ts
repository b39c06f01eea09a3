// The forms that a request has in a file, and how it is written in each: OTLP/JSON, OTLP protobuf, and protobuf with its
// length before it: four bytes big endian as the Collector's file exporter writes, or a varint.
import { asSidecarError, SidecarError } from '../../base/errors.ts'
import { protobufToJson } from '../../wire/json.ts'
import { Frame, type Signal } from '../../wire/otlp.ts'
import { Fields, readLength, varintEnd } from '../../wire/reader.ts'
import { scan, type Visitor } from '../../wire/scan.ts'
import { varintSize, writeVarint } from '../../wire/write.ts'

export type FileForm = 'json' | 'protobuf' | 'big_endian' | 'varint'
export type FrameForm = 'big_endian' | 'varint'

/** Longest head of a frame, bytes. */
export const HEAD_BYTES_MAX = 5
/** How every Export request begins that is not empty: its field 1, of bytes. */
export const REQUEST_TAG = 0x0a

/** How long the head of a frame is, and what follows it; `undefined` when these bytes are no head, or a cut one. */
export function frameHead(
  form: FrameForm,
  bytes: Uint8Array,
): { readonly headLength: number; readonly length: number } | undefined {
  if (form === 'big_endian') {
    if (bytes.length < 4) return undefined
    return { headLength: 4, length: new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) }
  }
  try {
    return { headLength: varintEnd(bytes, 0, bytes.length), length: readLength(bytes, 0, bytes.length) }
  } catch {
    return undefined
  }
}

/** A request in the form that it came in; one in JSON is a line. */
export function writeRequest(form: FileForm, signal: Signal, body: Uint8Array): Uint8Array {
  switch (form) {
    case 'json':
      return Buffer.from(`${protobufToJson(body, signal)}\n`)
    case 'protobuf':
      return body
    case 'big_endian': {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(body.length)
      return Buffer.concat([length, body])
    }
    case 'varint': {
      const length = Buffer.alloc(varintSize(body.length))
      writeVarint(length, 0, body.length)
      return Buffer.concat([length, body])
    }
  }
}

/** What a span's trace id must be for bytes to be read as traces. */
export type TraceIds = 'sound' | 'any'

export const SIGNALS: readonly Signal[] = ['traces', 'logs', 'metrics']

/**
 * The first signal as which the bytes can be read. A span has a trace id of 16 bytes where a metric has its name; who
 * must not miss a span with a damaged id takes `any`, and then what reads as both is traces.
 */
export function signalOf(body: Uint8Array, traceIds: TraceIds): Signal | undefined {
  return SIGNALS.find((signal) => {
    try {
      scan(body, signal, signal === 'traces' && traceIds === 'sound' ? soundIds(body) : ignore)
      return true
    } catch (thrown) {
      if (asSidecarError(thrown).code === 'INTERNAL') throw thrown
      return false
    }
  })
}

const ignore: Visitor = {
  enter: () => undefined,
  leave: () => undefined,
  text: () => undefined,
  attribute: () => true,
  scalar: () => undefined,
  attributeEnd: () => undefined,
}

function soundIds(body: Uint8Array): Visitor {
  return {
    ...ignore,
    enter(frame, start, end) {
      if (frame !== Frame.ITEM) return
      const span = new Fields(body, start, end)
      while (span.next()) {
        if (span.field === 1 && span.end - span.start !== 16)
          throw new SidecarError('MALFORMED', 'trace id is not 16 bytes')
      }
    },
  }
}
