import { SidecarError } from '../errors.ts'
import type { Signal } from '../wire/otlp.ts'

/** Stands in until the wire layer reads JSON; only an empty request passes. */
export function jsonToProtobuf(body: Uint8Array, _signal: Signal): Uint8Array {
  if (new TextDecoder().decode(body).trim() === '{}') return new Uint8Array(0)
  throw new SidecarError('MALFORMED', 'json is not read yet')
}
