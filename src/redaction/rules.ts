// Rules, compiled once: names become bits and tables, and what the rules say about a place and a key becomes a profile.
// Order decides: the operator's rules, then those of the packs.

import { SidecarError } from '../base/errors.ts'
import { DETECTOR_COUNT, detectorByName } from '../detection/detectors.ts'
import { Matches } from '../detection/engine/matches.ts'
import { scanText } from '../detection/engine/text-scan.ts'
import { UserPattern } from '../detection/engine/user-pattern.ts'
import { globMatches } from '../wire/attribute-glob.ts'
import type { Place } from '../wire/otlp.ts'
import { AttributeKeyCache, type AttributeKeyEntry, NO_PARENT, Reserved } from './attribute-key-cache.ts'
import type { AttributeKeyPath } from './attribute-key-path.ts'
import { KeyMatcher } from './key-matcher.ts'
import type { RedactionOptions, Rule, UnknownFieldMode } from './options.ts'
import { createOutcome, Effect, type Outcome } from './outcome.ts'
import { packByName } from './packs/packs.ts'
import { createProfile, type FittingRule, type Profile } from './profile.ts'
import { reservedKind } from './reserved.ts'
import { PLACE_COUNT, SURFACES } from './surfaces.ts'
import { UnknownFields } from './unknown-fields.ts'

/** Tenants whose choice of rules is remembered; more are worked out again. */
const TENANT_VIEWS_MAX = 10_000
/** Bytes of a value, times what its patterns weigh, beyond which it is masked whole: some 10 ms. */
export const VALUE_WORK_MAX = 4 * 1024 * 1024
/** Different sets of rules that name a key, per view; hostile paths can make many. */
const PROFILES_MAX = 4096
const WHOLE_CLASS = 'pii'
const OVER_BUDGET_RULE = 'over budget'

/** What the world around knows and the rules cannot. */
export interface RuleSetHooks {
  /** Whether `value` is the announcement that made `kid`, and our key service vouches for it. Default: never. */
  readonly isTrustedAnnouncement?: (kid: string, value: string) => boolean
  /** Whether `kid` is a pseudonym key of ours or of a sidecar before us. Default: never. */
  readonly isTrustedPseudonymKey?: (kid: string) => boolean
  /** Whether evidence sees the request next, and removes or keeps `span.signature*`. Without it they are plain text. */
  readonly evidenceFollows?: boolean
  /** See VALUE_WORK_MAX, its default. */
  readonly valueWorkMax?: number
}

interface CompiledRule extends FittingRule {
  readonly isKeyed: boolean
  readonly isKeep: boolean
  readonly keys: readonly string[]
  readonly fields: readonly string[]
  readonly places: ReadonlySet<Place>
  readonly tenants: readonly Uint8Array[]
}

/** Compiled rules. Holds no values; the cache of keys in it is bounded. */
export class RuleSet {
  readonly hooks: Required<RuleSetHooks>
  readonly ruleNames: readonly string[]
  /** Every data class that a value may be sealed under: what a key announcement lists. At most 64 (proto/sealed-value.md §3). */
  readonly dataClasses: readonly string[]
  /** What becomes of a value that is too much work to search. */
  readonly overBudget: Outcome
  readonly unknownFields: UnknownFields
  readonly #rules: readonly CompiledRule[]
  readonly #hasTenants: boolean
  readonly #views = new Map<string, RuleView>()
  readonly #viewOfTenant = new Map<string, RuleView>()

  constructor(rules: readonly Rule[], hooks: RuleSetHooks, unknownFields: UnknownFieldMode) {
    this.hooks = {
      isTrustedAnnouncement: hooks.isTrustedAnnouncement ?? (() => false),
      isTrustedPseudonymKey: hooks.isTrustedPseudonymKey ?? (() => false),
      evidenceFollows: hooks.evidenceFollows ?? true,
      valueWorkMax: hooks.valueWorkMax ?? VALUE_WORK_MAX,
    }
    this.#rules = rules.map(compileRule)
    this.unknownFields = new UnknownFields(
      unknownFields,
      this.#rules.filter(isForUnknownFields),
      this.hooks.valueWorkMax,
    )
    this.#hasTenants = this.#rules.some((rule) => rule.tenants.length > 0)
    this.overBudget = createOutcome(
      rules.length,
      OVER_BUDGET_RULE,
      { kind: 'mask', text: '[REDACTED]', keepFirst: 0, keepLast: 0 },
      WHOLE_CLASS,
    )
    this.ruleNames = [...rules.map((rule) => rule.name), OVER_BUDGET_RULE]
    const classes = [...new Set(this.#rules.flatMap(classesOf))].sort()
    this.dataClasses = classes.length > 0 ? classes : [WHOLE_CLASS]
    if (this.dataClasses.length > 64) throw new SidecarError('CONFIG', 'rules have more than 64 data classes')
  }

  /** The rules that a tenant has. */
  viewOf(tenant: string): RuleView {
    if (!this.#hasTenants) tenant = ''
    const known = this.#viewOfTenant.get(tenant)
    if (known !== undefined) return known
    const bytes = new TextEncoder().encode(tenant)
    const indexes = [...this.#rules.keys()].filter((index) => isForTenant(this.#rules[index], bytes))
    const fitting = indexes.map((index) => this.#rules[index])
    const name = JSON.stringify(indexes)
    const view = this.#views.get(name) ?? new RuleView(fitting, this.hooks)
    if (this.#viewOfTenant.size >= TENANT_VIEWS_MAX) {
      this.#viewOfTenant.clear()
      this.#views.clear()
    }
    this.#views.set(name, view)
    this.#viewOfTenant.set(tenant, view)
    return view
  }
}

/** Compiles the operator's rules and then those of the packs. Throws CONFIG for what `parseRedactionOptions` refuses. */
export function compileRules(options: RedactionOptions, hooks: RuleSetHooks = {}): RuleSet {
  const packed = options.packs.flatMap((name) => {
    const pack = packByName(name)
    if (pack === undefined) throw new SidecarError('CONFIG', 'a rule pack is not known')
    return pack.rules
  })
  return new RuleSet([...options.rules, ...packed], hooks, options.unknownFields)
}

/** The rules of some tenants, with what was decided about keys. */
export class RuleView {
  /** By place: free text, and a log body that is no kvlist. */
  readonly texts: readonly Profile[]
  readonly #rules: readonly CompiledRule[]
  readonly #hooks: Required<RuleSetHooks>
  readonly #matcher: KeyMatcher
  readonly #profiles = new Map<string, Profile>()
  readonly #keys = new AttributeKeyCache()
  readonly #matches = new Matches()
  #lastId = NO_PARENT

  constructor(rules: readonly CompiledRule[], hooks: Required<RuleSetHooks>) {
    this.#rules = rules
    this.#hooks = hooks
    this.#matcher = new KeyMatcher(
      rules.map((rule) => rule.keys),
      rules.map((rule) => rule.fields),
    )
    this.texts = Array.from({ length: PLACE_COUNT }, (_, place) => this.#profile(place as Place, []))
  }

  /** The decision about the innermost key of `path`. */
  entry(place: Place, path: AttributeKeyPath): AttributeKeyEntry {
    const parentId = path.parent?.id ?? NO_PARENT
    const { buf, depth } = path
    return (
      this.#keys.find(place, parentId, buf, path.keyStart(depth), path.keyEnd(depth)) ??
      this.#decide(place, parentId, path)
    )
  }

  #decide(place: Place, parentId: number, path: AttributeKeyPath): AttributeKeyEntry {
    const { buf, depth, parent } = path
    const start = path.keyStart(depth)
    const end = path.keyEnd(depth)
    const namedBy = this.#matcher.match(path, parent?.namedBy ?? [])
    const profile = this.#profile(place, namedBy)
    const entry: AttributeKeyEntry = {
      id: ++this.#lastId,
      place,
      parentId,
      key: buf.slice(start, end),
      profile,
      namedBy,
      reserved: depth === 0 ? reservedKind(place, buf, start, end, this.#hooks.evidenceFollows) : Reserved.NO,
      isKeyPersonal: this.#isPersonal(profile, buf, start, end),
      slot: 0,
      valuePlace: undefined,
      nextSlot: 0,
    }
    this.#keys.keep(entry)
    return entry
  }

  #isPersonal(profile: Profile, buf: Uint8Array, start: number, end: number): boolean {
    const matches = this.#matches
    matches.clear()
    if (profile.isBlind) return false
    if (end - start > this.#hooks.valueWorkMax) return true
    scanText(buf, start, end, profile.mask, profile.stops, matches)
    for (const { pattern, source } of profile.patterns) pattern.find(buf, start, end, source, matches)
    return matches.count > 0
  }

  /** What the rules say about a place, when those in `namedBy` name the key. */
  #profile(place: Place, namedBy: readonly number[]): Profile {
    const name = JSON.stringify([place, namedBy])
    const known = this.#profiles.get(name)
    if (known !== undefined) return known
    const profile = createProfile(
      this.#rules.filter(
        (rule, index) => rule.places.has(place) && (!rule.isKeyed || namedBy.includes(index)),
      ),
    )
    if (this.#profiles.size >= PROFILES_MAX) this.#profiles.clear()
    this.#profiles.set(name, profile)
    return profile
  }
}

function compileRule(rule: Rule, index: number): CompiledRule {
  const { key = [], field = [], detector = [], pattern = [], surface = [], tenant = [] } = rule.match
  const outcomes = new Array<Outcome | undefined>(DETECTOR_COUNT).fill(undefined)
  for (const name of detector) {
    const info = detectorByName(name)
    if (info === undefined) throw new SidecarError('CONFIG', 'a detector is not known')
    outcomes[info.id] = createOutcome(index, rule.name, rule.action, rule.dataClass ?? info.dataClass)
  }
  const plain = createOutcome(index, rule.name, rule.action, rule.dataClass ?? WHOLE_CLASS)
  const isWhole = detector.length === 0 && pattern.length === 0
  if (isWhole && key.length + field.length === 0 && surface.length === 0)
    throw new SidecarError('CONFIG', 'a rule fits everything')
  return {
    whole: isWhole ? plain : undefined,
    outcomes,
    patterns: pattern.map((text) => new UserPattern(text)),
    patternOutcome: plain,
    isKeyed: key.length + field.length > 0,
    isKeep: rule.action.kind === 'keep',
    keys: key,
    fields: field,
    places: placesOf(surface),
    tenants: tenant.map((text) => new TextEncoder().encode(text)),
  }
}

function placesOf(surfaces: readonly string[]): ReadonlySet<Place> {
  if (surfaces.length === 0) return new Set([...SURFACES.values()].flat())
  return new Set(
    surfaces.flatMap((name) => {
      const places = SURFACES.get(name)
      if (places === undefined) throw new SidecarError('CONFIG', 'a surface is not known')
      return places
    }),
  )
}

function isForTenant(rule: CompiledRule, tenant: Uint8Array): boolean {
  return rule.tenants.length === 0 || rule.tenants.some((glob) => globMatches(glob, tenant, 0, tenant.length))
}

/** A field that nobody knows has no key and no place, and an exemption from one tenant or place is none from all. */
function isForUnknownFields(rule: CompiledRule): boolean {
  const isLimited = rule.tenants.length > 0 || rule.places.size < PLACE_COUNT
  return !rule.isKeyed && rule.whole === undefined && !(rule.isKeep && isLimited)
}

/** Only what is sealed needs its class announced. */
function classesOf(rule: CompiledRule): string[] {
  const found = [rule.whole, rule.patterns.length > 0 ? rule.patternOutcome : undefined, ...rule.outcomes]
  return found.flatMap((outcome) => (outcome?.effect === Effect.ENCRYPT ? [outcome.dataClass] : []))
}
