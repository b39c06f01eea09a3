// What an operator writes under `processors.pii`, and its checked form.

/** What becomes of a value. `beaconBits` 128 is a whole pseudonym; `keep` leaves it and stops later rules. */
export type Action =
  | { readonly kind: 'encrypt'; readonly hasBeacon: boolean; readonly beaconBits: number }
  | { readonly kind: 'hash'; readonly beaconBits: number }
  | {
      readonly kind: 'mask'
      readonly text: string | undefined
      readonly keepFirst: number
      readonly keepLast: number
    }
  | { readonly kind: 'drop' }
  | { readonly kind: 'keep' }

export const ENCRYPT: Action = { kind: 'encrypt', hasBeacon: false, beaconBits: 128 }
export const HASH: Action = { kind: 'hash', beaconBits: 128 }
export const MASK: Action = { kind: 'mask', text: undefined, keepFirst: 0, keepLast: 0 }
export const DROP: Action = { kind: 'drop' }
export const KEEP: Action = { kind: 'keep' }

/**
 * What a rule applies to. Each list that is there must have a member that fits (`detector` and `pattern` together are
 * one list); an absent or empty one fits everything. Keys fit without regard to ASCII case: HTTP header names have
 * none, and a rule that misses `User.Email` protects nobody.
 */
export interface Match {
  /** Exact keys, globs (`*` any characters, `?` one), dotted paths into kvlists. A nested entry also fits by the end of its path. */
  readonly key?: readonly string[]
  /** What the key says the value is, in whatever spelling: `birth_date` fits `dateOfBirth`. One list with `key`. */
  readonly field?: readonly string[]
  readonly detector?: readonly string[]
  /** RE2 syntax; what it finds is the match. */
  readonly pattern?: readonly string[]
  readonly surface?: readonly string[]
  /** Globs over tenant ids, exact case. */
  readonly tenant?: readonly string[]
}

export interface Rule {
  readonly name: string
  readonly match: Match
  readonly action: Action
  /** Data class of what it finds; by default the detector's, and `pii` for whole values and patterns. */
  readonly dataClass?: string
}

/** What becomes of fields that OTLP 1.11 does not have: `scan` takes away those in which something is found. */
export type UnknownFieldMode = 'scan' | 'keep' | 'remove'

export interface RedactionOptions {
  /** Names of packs, applied in this order after the rules. */
  readonly packs: readonly string[]
  /** The first that fits a value, or a part of it, decides. */
  readonly rules: readonly Rule[]
  /** When a value must be encrypted and no key is usable. */
  readonly onKmsFailure: 'refuse' | 'mask'
  /** Whether a secret that never travels is mixed into every data key. */
  readonly tenantSecret: boolean
  /** Whether sealed values are bound to the ids of their span or log record. */
  readonly bindIds: boolean
  /** Whether what is sealed is first filled up to a size class. */
  readonly pad: boolean
  readonly unknownFields: UnknownFieldMode
}

export const REDACTION_DEFAULTS: RedactionOptions = {
  packs: ['default'],
  rules: [],
  onKmsFailure: 'refuse',
  tenantSecret: false,
  bindIds: true,
  pad: false,
  unknownFields: 'scan',
}
