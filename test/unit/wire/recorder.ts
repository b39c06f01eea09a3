// Bytes by hand, and a visitor that writes down what it hears.
import { Frame, Place, type Signal, ValueType } from '../../../src/wire/otlp.ts'
import { scan, type Visitor } from '../../../src/wire/scan.ts'

/** A length-delimited field: one-byte tag, minimal length. */
export function field(number: number, ...content: (number | Uint8Array)[]): Uint8Array {
  const bytes = joined(...content)
  return joined((number << 3) | 2, varint(bytes.length), bytes)
}

export function joined(...parts: (number | Uint8Array)[]): Uint8Array {
  return new Uint8Array(
    Buffer.concat(parts.map((part) => (typeof part === 'number' ? Uint8Array.of(part) : part))),
  )
}

export function varint(value: number): Uint8Array {
  const out: number[] = []
  for (; value > 0x7f; value = Math.floor(value / 128)) out.push((value % 128) | 0x80)
  return Uint8Array.from([...out, value])
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value)
}

/** A traces request with one span of this content. */
export function spanRequest(...content: (number | Uint8Array)[]): Uint8Array {
  return field(1, field(2, field(2, ...content)))
}

/** A span attribute whose AnyValue has this content. */
export function spanAttribute(key: string, ...value: (number | Uint8Array)[]): Uint8Array {
  return field(9, field(1, text(key)), field(2, ...value))
}

const frameNames = Object.keys(Frame)
const placeNames = Object.keys(Place)
const typeNames = Object.keys(ValueType)

/** Writes each call as one line. `take` decides, by key, which attributes are taken whole. */
export class Recorder implements Visitor {
  readonly lines: string[] = []
  readonly buf: Uint8Array
  readonly take: (key: string) => boolean

  constructor(buf: Uint8Array, take: (key: string) => boolean = () => false) {
    this.buf = buf
    this.take = take
  }

  enter(frame: Frame, start: number, end: number): void {
    this.lines.push(`enter ${frameNames[frame]} ${start}-${end}`)
  }

  leave(frame: Frame, start: number, end: number): void {
    this.lines.push(`leave ${frameNames[frame]} ${start}-${end}`)
  }

  text(place: Place, start: number, end: number): void {
    this.lines.push(`text ${placeNames[place]} ${this.show(start, end)}`)
  }

  attribute(
    place: Place,
    depth: number,
    fieldStart: number,
    end: number,
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
  ): boolean {
    const key = this.show(keyStart, keyEnd)
    this.lines.push(
      `attribute ${placeNames[place]} ${depth} ${key} ${fieldStart}-${end} value ${valueStart}-${valueEnd}`,
    )
    return this.take(key)
  }

  scalar(
    place: Place,
    type: ValueType,
    start: number,
    end: number,
    valueStart: number,
    valueEnd: number,
  ): void {
    this.lines.push(
      `scalar ${placeNames[place]} ${typeNames[type]} ${start}-${end} in ${valueStart}-${valueEnd}`,
    )
  }

  attributeEnd(depth: number): void {
    this.lines.push(`end ${depth}`)
  }

  show(start: number, end: number): string {
    return new TextDecoder().decode(this.buf.subarray(start, end))
  }
}

export function record(
  buf: Uint8Array,
  signal: Signal = 'traces',
  take?: (key: string) => boolean,
): string[] {
  const recorder = new Recorder(buf, take)
  scan(buf, signal, recorder)
  return recorder.lines
}

/** A visitor that does nothing; tests override what they need. */
export const idle: Visitor = {
  enter: () => {},
  leave: () => {},
  text: () => {},
  attribute: () => false,
  scalar: () => {},
  attributeEnd: () => {},
}
