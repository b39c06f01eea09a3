// One request through the rules: one scan that plans, one call per tenant that seals, one splice that rebuilds.
import { strict as assert } from 'node:assert'
import { rejectFaultyItems, removeUnknownFields } from '../wire/clean.ts'
import type { Faults } from '../wire/faults.ts'
import type { Signal } from '../wire/otlp.ts'
import { CHECKED, scan } from '../wire/scan.ts'
import { splice } from '../wire/splice.ts'
import type { MissingKey } from './editor.ts'
import { EFFECT_NAMES } from './outcome.ts'
import { Redactor } from './redactor.ts'
import type { RuleSet } from './rules.ts'
import type { TenantKeys } from './tenant-keys.ts'

/** Values and parts of values that a rule changed. */
export interface ValueCount {
  readonly rule: string
  /** What was done, not what the rule asked for. */
  readonly action: string
  readonly count: number
}

export interface RedactResult {
  /** The same buffer when no rule changed anything, otherwise one of its own. Not to be used while `missing` is not empty. */
  readonly body: Uint8Array
  /** Spans, log records or data points. */
  readonly itemCount: number
  /** The same, by resource group. */
  readonly itemsByGroup: readonly number[]
  readonly counts: readonly ValueCount[]
  /** Not empty: load these keys and call again. */
  readonly missing: readonly MissingKey[]
  /** Reserved attributes from outside that were removed. */
  readonly forged: number
  /** Values that were too much work to search and are masked whole. */
  readonly overBudget: number
  /** What was not taken of the request, or mended, before the rules saw it. */
  readonly faults?: Faults
}

const redactors = new WeakMap<RuleSet, Redactor>()

/**
 * Applies the rules to an encoded Export request. `tenants[i]` has the keys of the i-th resource group. Throws MALFORMED
 * or TOO_DEEP for what the scan refuses; `buf` stays the caller's and is not changed. The rules see text as it leaves:
 * a request that is doubted is cleaned first.
 */
export function redact(
  buf: Uint8Array,
  signal: Signal,
  ruleSet: RuleSet,
  tenants: readonly TenantKeys[],
): RedactResult {
  const result = applyRules(buf, signal, ruleSet, tenants)
  if (result !== undefined) return result
  const { body, faults } = clean(buf, signal, ruleSet)
  const again = applyRules(body, signal, ruleSet, tenants)
  assert(again !== undefined, 'a cleaned request is not doubted')
  return { ...again, faults }
}

function clean(
  buf: Uint8Array,
  signal: Signal,
  { unknownFields }: RuleSet,
): { body: Uint8Array; faults: Faults } {
  const sound = rejectFaultyItems(buf, signal)
  unknownFields.begin()
  const known = removeUnknownFields(sound.body, signal, (wireType, from, start, end) =>
    unknownFields.isUnwanted(wireType, from, start, end),
  )
  sound.faults.add(known.faults)
  return { body: known.body, faults: sound.faults }
}

/** `undefined` when the request has to be cleaned first. */
function applyRules(
  buf: Uint8Array,
  signal: Signal,
  ruleSet: RuleSet,
  tenants: readonly TenantKeys[],
): RedactResult | undefined {
  let redactor = redactors.get(ruleSet)
  if (redactor === undefined) {
    redactor = new Redactor(ruleSet)
    redactors.set(ruleSet, redactor)
  }
  const { editor } = redactor
  // A plain view, whatever the caller has: a Buffer has another hidden class.
  redactor.begin(new Uint8Array(buf.buffer, buf.byteOffset, buf.length), signal, tenants)
  try {
    const doubts = scan(buf, signal, redactor, editor.edits, CHECKED)
    if (doubts !== 0 || redactor.hasUnwanted) return undefined
    const missing = [...editor.missing]
    if (missing.length === 0) editor.seals.fill(editor.edits)
    return {
      body: missing.length === 0 ? splice(buf, editor.edits) : buf,
      itemCount: redactor.itemCount,
      itemsByGroup: redactor.itemsByGroup,
      counts: namedCounts(editor.counts, ruleSet.ruleNames),
      missing,
      forged: redactor.forged,
      overBudget: redactor.overBudget,
    }
  } finally {
    redactor.end()
  }
}

function namedCounts(counts: Int32Array, ruleNames: readonly string[]): ValueCount[] {
  const named: ValueCount[] = []
  const effects = EFFECT_NAMES.length
  for (let i = 0; i < counts.length; i++) {
    if (counts[i] === 0) continue
    named.push({
      rule: ruleNames[Math.floor(i / effects)],
      action: EFFECT_NAMES[i % effects],
      count: counts[i],
    })
  }
  return named
}
