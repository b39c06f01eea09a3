// One request through the rules: one scan that plans, one call per tenant that seals, one splice that rebuilds.
import { strict as assert } from 'node:assert'
import { inOneGo, type Slices } from '../base/turns.ts'
import { type Cleaned, rejectFaultyItemsInSlices, removeUnknownFieldsInSlices } from '../wire/clean.ts'
import type { Faults } from '../wire/faults.ts'
import type { Signal } from '../wire/otlp.ts'
import { REQUEST_BOUNDS, scan } from '../wire/scan.ts'
import { scanInSlices } from '../wire/scan-in-slices.ts'
import { splice, spliceInSlices } from '../wire/splice.ts'
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

/** Between requests. More than one only where a large request gives others their turn while it is worked on. */
const idle = new WeakMap<RuleSet, Redactor[]>()
const IDLE_MAX = 4

/**
 * Applies the rules to an encoded Export request. `tenants[i]` has the keys of the i-th resource group. Throws MALFORMED
 * or TOO_DEEP for what the scan refuses, TOO_LARGE for what is too much; `buf` stays the caller's and is not changed.
 * The rules see text as it leaves: a request that is doubted is cleaned first.
 */
export function redact(
  buf: Uint8Array,
  signal: Signal,
  ruleSet: RuleSet,
  tenants: readonly TenantKeys[],
): RedactResult {
  const result = applyRules(buf, signal, ruleSet, tenants)
  if (result !== undefined) return result
  const { body, faults } = inOneGo(clean(buf, signal, ruleSet))
  const again = applyRules(body, signal, ruleSet, tenants)
  assert(again !== undefined, 'a cleaned request is not doubted')
  return { ...again, faults }
}

/** As `redact`, for a large request: between two slices others have their turn. The keys are those given at the start. */
export function* redactInSlices(
  buf: Uint8Array,
  signal: Signal,
  ruleSet: RuleSet,
  tenants: readonly TenantKeys[],
): Generator<void, RedactResult> {
  const result = yield* applyRulesInSlices(buf, signal, ruleSet, tenants)
  if (result !== undefined) return result
  const { body, faults } = yield* clean(buf, signal, ruleSet)
  yield
  const again = yield* applyRulesInSlices(body, signal, ruleSet, tenants)
  assert(again !== undefined, 'a cleaned request is not doubted')
  return { ...again, faults }
}

function* clean(buf: Uint8Array, signal: Signal, { unknownFields }: RuleSet): Slices<Cleaned> {
  const sound = yield* rejectFaultyItemsInSlices(buf, signal)
  yield
  const searched = { fieldCount: 0 }
  const known = yield* removeUnknownFieldsInSlices(sound.body, signal, (wireType, from, start, end) =>
    unknownFields.isUnwanted(searched, wireType, from, start, end),
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
  const redactor = take(ruleSet)
  const { editor } = redactor
  redactor.begin(plainView(buf), signal, tenants)
  try {
    const doubts = scan(buf, signal, redactor, editor.edits, REQUEST_BOUNDS)
    if (doubts !== 0 || redactor.hasUnwanted) return undefined
    if (editor.missing.length > 0) return resultOf(redactor, buf, ruleSet)
    editor.seals.fill(editor.edits, buf)
    return resultOf(redactor, splice(buf, editor.edits), ruleSet)
  } finally {
    giveBack(redactor, ruleSet)
  }
}

function* applyRulesInSlices(
  buf: Uint8Array,
  signal: Signal,
  ruleSet: RuleSet,
  tenants: readonly TenantKeys[],
): Generator<void, RedactResult | undefined> {
  const redactor = take(ruleSet)
  const { editor } = redactor
  redactor.begin(plainView(buf), signal, tenants)
  try {
    const doubts = yield* scanInSlices(buf, signal, redactor, editor.edits, REQUEST_BOUNDS)
    if (doubts !== 0 || redactor.hasUnwanted) return undefined
    if (editor.missing.length > 0) return resultOf(redactor, buf, ruleSet)
    yield* editor.seals.fillInSlices(editor.edits, buf)
    return resultOf(redactor, yield* spliceInSlices(buf, editor.edits), ruleSet)
  } finally {
    giveBack(redactor, ruleSet)
  }
}

/** Whatever the caller has: a Buffer has another hidden class. */
function plainView(buf: Uint8Array): Uint8Array {
  return new Uint8Array(buf.buffer, buf.byteOffset, buf.length)
}

function take(ruleSet: RuleSet): Redactor {
  return idle.get(ruleSet)?.pop() ?? new Redactor(ruleSet)
}

function giveBack(redactor: Redactor, ruleSet: RuleSet): void {
  redactor.end()
  const waiting = idle.get(ruleSet)
  if (waiting === undefined) idle.set(ruleSet, [redactor])
  else if (waiting.length < IDLE_MAX) waiting.push(redactor)
}

function resultOf(redactor: Redactor, body: Uint8Array, ruleSet: RuleSet): RedactResult {
  const { editor } = redactor
  const missing = [...editor.missing]
  return {
    body,
    itemCount: redactor.itemCount,
    itemsByGroup: redactor.itemsByGroup,
    counts: namedCounts(editor.counts, ruleSet.ruleNames),
    missing,
    forged: redactor.forged,
    overBudget: redactor.overBudget,
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
