// Numbers of OTLP/JSON. An int64 never passes through a double: its digits are kept, as number and as text.
import type { EnumNames } from './enums.ts'
import { JSON_NUMBER, type JsonLexer, NUMBER_BYTES_MAX } from './json-lexer.ts'
import { malformed } from './reader.ts'
import type { FieldSpec } from './schema.ts'
import type { Writer } from './write.ts'

/** Writes a number or bool without its tag; returns whether it is the default of its type. */
export function writeNumber(lexer: JsonLexer, writer: Writer, { type, names }: FieldSpec): boolean {
  if (type === 'bool') {
    const flag = lexer.takeBool()
    writer.varint(flag ? 1 : 0)
    return !flag
  }
  if (type === 'double') {
    const value = doubleOf(takeNumberText(lexer))
    writer.double(value)
    return Object.is(value, 0)
  }
  const value = names === undefined ? integerOf(takeNumberText(lexer), type) : enumOf(lexer, names)
  if (type === 'fixed32') writer.fixed32(Number(value))
  else if (type === 'fixed64' || type === 'sfixed64') writer.fixed64(value)
  else if (type === 'sint32') writer.varint(Number(value < 0n ? -2n * value - 1n : 2n * value))
  else writer.varint64(value)
  return value === 0n
}

function takeNumberText(lexer: JsonLexer): string {
  if (!lexer.atString()) return lexer.takeNumber()
  lexer.takeString()
  if (lexer.end - lexer.start > NUMBER_BYTES_MAX) throw malformed('json number is too long')
  return lexer.stringText()
}

/** By number or by name, never a number as text: nobody writes that. */
function enumOf(lexer: JsonLexer, names: EnumNames): bigint {
  if (!lexer.atString()) return integerOf(lexer.takeNumber(), 'enum')
  lexer.takeString()
  const number = names.get(lexer.stringText())
  if (number === undefined) throw malformed('json names no value of the enumeration')
  return BigInt(number)
}

const RANGES: Readonly<Partial<Record<FieldSpec['type'], readonly [bigint, bigint]>>> = {
  enum: [-(2n ** 31n), 2n ** 31n - 1n],
  fixed32: [0n, 2n ** 32n - 1n],
  fixed64: [0n, 2n ** 64n - 1n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  sfixed64: [-(2n ** 63n), 2n ** 63n - 1n],
  sint32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
}

const PLAIN_INTEGER = /^(?:0|-?[1-9][0-9]{0,19})$/
/** Digits of the largest integer. */
const DIGITS_MAX = 20

function integerOf(text: string, type: FieldSpec['type']): bigint {
  const value = BigInt(PLAIN_INTEGER.test(text) ? text : plainDigits(text))
  const [min, max] = RANGES[type]! // every integer type has a row
  if (value < min || value > max) throw malformed('json number is out of range')
  return value
}

/** The digits of an integer that is written with a fraction or an exponent: `1.50e1` is 15. */
function plainDigits(text: string): string {
  const match = JSON_NUMBER.exec(text)
  if (match === null) throw malformed('json number is no integer')
  const [, sign, whole, fraction = '', exponent = '0'] = match
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  if (digits === '') return '0'
  const shift = Number(exponent) - fraction.length
  if (digits.length + shift > DIGITS_MAX) throw malformed('json number is out of range')
  if (shift >= 0) return `${sign}${digits}${'0'.repeat(shift)}`
  if (!/^0+$/.test(digits.slice(shift))) throw malformed('json number is no integer')
  return `${sign}${digits.slice(0, shift)}`
}

function doubleOf(text: string): number {
  if (text === 'NaN') return Number.NaN
  if (text === 'Infinity') return Number.POSITIVE_INFINITY
  if (text === '-Infinity') return Number.NEGATIVE_INFINITY
  const value = JSON_NUMBER.test(text) ? Number(text) : Number.NaN
  if (!Number.isFinite(value)) throw malformed('json number is no double')
  return value
}
