// What a name says about the value under it, and what a text has behind a name.

/** What a value is when its name says so. Rules name these under `field`. */
export const FIELDS = [
  'name',
  'user_name',
  'email',
  'phone',
  'address',
  'birth_date',
  'national_id',
  'passport',
  'bank_account',
  'payment_card',
  'card_security',
  'medical',
  'plate',
  'device',
  'credential',
] as const
export type Field = (typeof FIELDS)[number]

export function isField(text: string): text is Field {
  return FIELDS.includes(text as Field) // `includes` wants a member; any text may be asked about
}

/**
 * A kind of value behind its name in a text. `patterns` are of letters and digits only, since people put spaces, dashes,
 * dots and slashes where they like: `#` is a digit, `@` a letter, `*` either, anything else itself; several are separated
 * by spaces. `check` says of the letters (capitals) and digits whether they are one.
 */
export interface Kind {
  /** Detector that finds it. */
  readonly detector: number
  readonly patterns: string
  readonly check?: (text: string) => boolean
  /** Reads what no pattern can; the end, or -1. */
  readonly read?: (buf: Uint8Array, start: number, end: number, at: number) => number
}

/** A line of a table of names. */
export interface NameRow {
  /** Separated by `|`. */
  readonly names: string
  readonly field?: Field
  readonly kinds?: readonly Kind[]
  readonly not?: readonly string[]
  /** Names in texts, and of no key. */
  readonly isText?: boolean
  /** The whole key only: too common a word at the end of a longer one. */
  readonly isWhole?: boolean
  /** In keys only behind a word for a person: `customer.name`, and not `host.name`. */
  readonly isPersons?: boolean
}
