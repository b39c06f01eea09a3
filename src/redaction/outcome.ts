// What a rule does to what it found, ready for the hot path: bytes instead of text, numbers instead of names.
import { ValueType } from '../wire/otlp.ts'
import type { Action } from './options.ts'
import { textValue } from './value-bytes.ts'

export const Effect = { ENCRYPT: 0, HASH: 1, MASK: 2, DROP: 3, KEEP: 4 } as const
export type Effect = (typeof Effect)[keyof typeof Effect]

/** Names of effects, in their order; the `action` of a count. */
export const EFFECT_NAMES = ['encrypt', 'hash', 'mask', 'drop', 'keep'] as const

export interface Outcome {
  /** Position among all rules: the smaller decides. */
  readonly rule: number
  readonly ruleName: string
  readonly effect: Effect
  readonly dataClass: string
  /** The fixed mask; also what stands in when a key is not usable and the configuration says so. */
  readonly mask: Uint8Array
  /** The same as an encoded AnyValue. */
  readonly maskValue: Uint8Array
  /** The fixed mask where a place has a grammar of its own. */
  readonly plainMask: Uint8Array
  /** More than 0: characters that a mask leaves. */
  readonly keepFirst: number
  readonly keepLast: number
  readonly hasBeacon: boolean
  /** 128: a whole pseudonym. */
  readonly beaconBits: number
}

const encoder = new TextEncoder()
const PLAIN_MASK = encoder.encode('redacted')
export const PSEUDONYM_BITS = 128

const EFFECT_OF: Readonly<Record<Action['kind'], Effect>> = {
  encrypt: Effect.ENCRYPT,
  hash: Effect.HASH,
  mask: Effect.MASK,
  drop: Effect.DROP,
  keep: Effect.KEEP,
}

export function createOutcome(rule: number, ruleName: string, action: Action, dataClass: string): Outcome {
  const isMask = action.kind === 'mask'
  const mask = encoder.encode((isMask ? action.text : undefined) ?? `[REDACTED:${dataClass}]`)
  return {
    rule,
    ruleName,
    effect: EFFECT_OF[action.kind],
    dataClass,
    mask,
    maskValue: textValue(ValueType.STRING, mask, 0, mask.length),
    plainMask: PLAIN_MASK,
    keepFirst: isMask ? action.keepFirst : 0,
    keepLast: isMask ? action.keepLast : 0,
    hasBeacon: action.kind === 'encrypt' && action.hasBeacon,
    beaconBits: action.kind === 'encrypt' || action.kind === 'hash' ? action.beaconBits : PSEUDONYM_BITS,
  }
}
