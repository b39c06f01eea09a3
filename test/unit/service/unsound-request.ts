// A request with secrets where no schema expects text: in fields of later versions, at every level and in messages of
// their own, in ids of a wrong length, and in text that is no UTF-8.
import type { Signal } from '../../../src/wire/otlp.ts'
import { field, joined, text, varint } from '../wire/recorder.ts'
import type { Planted } from './planted-request.ts'

/** Field numbers of what an item is, and of its trace and span id. */
const ID_FIELDS: Readonly<Record<Signal, readonly number[]>> = {
  traces: [1, 2, 4],
  logs: [9, 10],
  metrics: [],
}

export function plantUnsound(signal: Signal, seed: string): Planted {
  const secrets = new Map<string, string>()
  const secret = (place: string): Uint8Array => {
    const planted = `canary${seed}u${secrets.size}@clinic-of-secrets.example`
    secrets.set(`unsound ${signal} ${place}`, planted)
    return text(planted)
  }
  const later = (place: string): Uint8Array =>
    joined(
      unknown(secret(`${place} as text`)),
      unknown(field(1, field(2, secret(`${place} in a message`)))),
      unknown(joined(0xff, secret(`${place} as bytes`))),
    )
  const attributes = (number: number): Uint8Array =>
    field(number, field(1, text('k')), field(2, field(1, text('v')), later('value')), later('key-value'))
  const item = (...content: Uint8Array[]): Uint8Array =>
    signal === 'metrics'
      ? field(2, field(1, text('m')), field(5, field(1, ...content), later('gauge')), later('metric'))
      : field(2, ...content)
  const faulty = ID_FIELDS[signal].map((number) => item(field(number, secret(`id ${number}`))))
  // Field 3 of a span is its trace state, of a record its severity; of a point its time, and there field 7 has the text.
  const broken = joined(secret('text that is no utf-8'), 0xff)
  faulty.push(item(signal === 'metrics' ? field(7, field(1, broken)) : field(3, broken)))
  const body = joined(
    later('request'),
    field(
      1,
      field(1, field(1, field(1, text('note')), field(2, field(1, broken))), later('resource')),
      later('resource group'),
      field(
        2,
        field(1, later('scope')),
        later('scope group'),
        item(attributes(signal === 'traces' ? 9 : signal === 'logs' ? 6 : 7), later('item')),
        ...faulty,
      ),
    ),
  )
  return { body, secrets }
}

/** Field 900: no message of OTLP has it. */
function unknown(content: Uint8Array): Uint8Array {
  return joined(varint(900 * 8 + 2), varint(content.length), content)
}
