// Reads the rules that an operator wrote and lists every problem with its path, so that one run of `validate` shows them all.
import { detectorByName } from '../detection/detectors.ts'
import { patternProblem } from '../detection/engine/user-pattern.ts'
import { isField } from '../detection/names/field.ts'
import { type Action, DROP, ENCRYPT, HASH, KEEP, MASK, type Match, type Rule } from './options.ts'
import { SURFACES } from './surfaces.ts'

export interface Problem {
  /** `processors.pii.rules[2].match.key` */
  readonly path: string
  readonly message: string
}

export interface ParsedRules {
  /** Something harmless stands in for what has a problem. */
  readonly rules: readonly Rule[]
  readonly problems: readonly Problem[]
}

const BEACON_BITS_MAX = 128
const NAME = /^[\x20-\x7e]{1,64}$/
const DATA_CLASS = /^[A-Za-z0-9_-]{1,64}$/
/** Announcements list at most 64 classes (proto/sealed-value.md §3); packs and detectors have about 30 of their own. */
const RULES_MAX = 1000
const KEPT_CHARACTERS_MAX = 1024

/** Reads `rules:` as written. Never throws. `path` is where `raw` stands in the configuration. */
export function parseRules(raw: unknown, path: string): ParsedRules {
  const problems: Problem[] = []
  const rules = new Parser(problems).rules(raw, path)
  return { rules, problems }
}

class Parser {
  readonly problems: Problem[]

  constructor(problems: Problem[]) {
    this.problems = problems
  }

  problem(path: string, message: string): void {
    this.problems.push({ path, message })
  }

  /** The members of a mapping; unknown names are problems. */
  block(raw: unknown, path: string, names: readonly string[]): ReadonlyMap<string, unknown> {
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
      this.problem(path, 'must be a mapping')
      return new Map()
    }
    const members = new Map<string, unknown>(Object.entries(raw))
    for (const name of members.keys()) {
      if (!names.includes(name))
        this.problem(`${path}.${name}`, `is not known; must be one of ${names.join(', ')}`)
    }
    return members
  }

  flag(raw: unknown, path: string, otherwise: boolean): boolean {
    if (typeof raw === 'boolean') return raw
    if (raw !== undefined) this.problem(path, 'must be true or false')
    return otherwise
  }

  rules(raw: unknown, path: string): readonly Rule[] {
    if (raw === undefined || raw === null) return []
    if (!Array.isArray(raw)) {
      this.problem(path, 'must be a list of rules')
      return []
    }
    if (raw.length > RULES_MAX) this.problem(path, `must have at most ${RULES_MAX} rules`)
    const rules: Rule[] = []
    const seen = new Set<string>()
    for (const [index, entry] of raw.slice(0, RULES_MAX).entries()) {
      const rule = this.rule(entry, `${path}[${index}]`)
      if (seen.has(rule.name)) this.problem(`${path}[${index}].name`, 'is the name of another rule too')
      seen.add(rule.name)
      rules.push(rule)
    }
    return rules
  }

  rule(raw: unknown, path: string): Rule {
    const block = this.block(raw, path, ['name', 'match', 'action', 'class'])
    const name = block.get('name')
    const dataClass = block.get('class')
    const isNamed = typeof name === 'string' && NAME.test(name)
    if (!isNamed) this.problem(`${path}.name`, 'must be 1 to 64 printable ASCII characters')
    const isClassed = typeof dataClass === 'string' && DATA_CLASS.test(dataClass)
    if (dataClass !== undefined && !isClassed) {
      this.problem(`${path}.class`, 'must be 1 to 64 of A-Z, a-z, 0-9, _ and -')
    }
    return {
      name: isNamed ? name : path,
      match: this.match(block.get('match'), `${path}.match`),
      action: this.action(block.get('action'), `${path}.action`),
      ...(isClassed ? { dataClass } : {}),
    }
  }

  match(raw: unknown, path: string): Match {
    const block = this.block(raw, path, ['key', 'field', 'detector', 'pattern', 'surface', 'tenant'])
    const optional = (
      name: string,
      isKnown: (text: string) => boolean,
      message: string,
    ): readonly string[] =>
      block.get(name) === undefined ? [] : this.names(block.get(name), `${path}.${name}`, isKnown, message)
    const match = {
      key: optional('key', (text) => text.length > 0, 'must not be empty'),
      field: optional('field', isField, 'is no field'),
      detector: optional('detector', (text) => detectorByName(text) !== undefined, 'is no detector'),
      pattern: this.patterns(block.get('pattern'), `${path}.pattern`),
      surface: optional('surface', (text) => SURFACES.has(text), 'is no surface'),
      tenant: optional('tenant', (text) => text.length > 0, 'must not be empty'),
    }
    const isSpecific =
      match.key.length +
        match.field.length +
        match.detector.length +
        match.pattern.length +
        match.surface.length >
      0
    if (!isSpecific && raw !== undefined)
      this.problem(path, 'must have at least one of key, field, detector, pattern, surface')
    return match
  }

  patterns(raw: unknown, path: string): readonly string[] {
    if (raw === undefined) return []
    const patterns = this.names(raw, path, (text) => text.length > 0, 'must not be empty')
    return patterns.filter((pattern, index) => {
      const problem = patternProblem(pattern)
      if (problem !== undefined) this.problem(`${path}[${index}]`, problem)
      return problem === undefined
    })
  }

  /** A list of strings, or one string for a list of one. */
  names(raw: unknown, path: string, isKnown: (text: string) => boolean, message: string): readonly string[] {
    const list: readonly unknown[] = Array.isArray(raw) ? raw : [raw]
    const names: string[] = []
    for (const [index, entry] of list.entries()) {
      if (typeof entry !== 'string') this.problem(`${path}[${index}]`, 'must be a string')
      else if (!isKnown(entry)) this.problem(`${path}[${index}]`, message)
      else names.push(entry)
    }
    return names
  }

  action(raw: unknown, path: string): Action {
    const known =
      'must be encrypt, hash, mask, drop or keep, or one of encrypt, hash and mask with its settings'
    if (typeof raw === 'string') {
      const simple = SIMPLE.get(raw)
      if (simple === undefined) this.problem(path, known)
      return simple ?? MASK
    }
    const block = this.block(raw, path, ['encrypt', 'hash', 'mask'])
    if (block.size !== 1) {
      this.problem(path, known)
      return MASK
    }
    const [[kind, settings]] = [...block]
    if (kind === 'encrypt') return this.encrypt(settings, `${path}.encrypt`)
    if (kind === 'hash') return this.hash(settings, `${path}.hash`)
    return this.mask(settings, `${path}.mask`)
  }

  encrypt(raw: unknown, path: string): Action {
    const block = this.block(raw, path, ['beacon', 'beacon_bits'])
    const beaconBits = this.integer(
      block.get('beacon_bits'),
      `${path}.beacon_bits`,
      1,
      BEACON_BITS_MAX,
      BEACON_BITS_MAX,
    )
    return { kind: 'encrypt', hasBeacon: this.flag(block.get('beacon'), `${path}.beacon`, false), beaconBits }
  }

  hash(raw: unknown, path: string): Action {
    const block = this.block(raw, path, ['beacon_bits'])
    const beaconBits = this.integer(
      block.get('beacon_bits'),
      `${path}.beacon_bits`,
      1,
      BEACON_BITS_MAX,
      BEACON_BITS_MAX,
    )
    return { kind: 'hash', beaconBits }
  }

  mask(raw: unknown, path: string): Action {
    const block = this.block(raw, path, ['text', 'keep_first', 'keep_last'])
    const text = block.get('text')
    const keepFirst = this.integer(block.get('keep_first'), `${path}.keep_first`, 0, KEPT_CHARACTERS_MAX, 0)
    const keepLast = this.integer(block.get('keep_last'), `${path}.keep_last`, 0, KEPT_CHARACTERS_MAX, 0)
    if (text !== undefined && typeof text !== 'string') this.problem(`${path}.text`, 'must be a string')
    if (text !== undefined && keepFirst + keepLast > 0) {
      this.problem(path, 'must have either text or keep_first and keep_last')
    }
    return {
      kind: 'mask',
      text: typeof text === 'string' ? text.toWellFormed() : undefined,
      keepFirst,
      keepLast,
    }
  }

  integer(raw: unknown, path: string, min: number, max: number, otherwise: number): number {
    if (raw === undefined) return otherwise
    if (typeof raw === 'number' && Number.isInteger(raw) && raw >= min && raw <= max) return raw
    this.problem(path, `must be an integer from ${min} to ${max}`)
    return otherwise
  }
}

const SIMPLE: ReadonlyMap<string, Action> = new Map([
  ['encrypt', ENCRYPT],
  ['hash', HASH],
  ['mask', MASK],
  ['drop', DROP],
  ['keep', KEEP],
])
