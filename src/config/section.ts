import { type Endpoint, formatEndpoint, parseEndpoint } from '../base/endpoint.ts'
import { formatDuration, formatSize, parseDuration, parseSize } from './quantity.ts'
import { Secret } from './secret.ts'
import { didYouMean } from './suggestion.ts'
import {
  type ListNode,
  type MapNode,
  type Origin,
  originBelow,
  type Problem,
  problemAt,
  type ScalarNode,
  type Tree,
  toPlain,
} from './tree.ts'
import { joinPath } from './yaml-source.ts'

/** What reading collects: every problem, and the effective settings in the order in which they were asked for. */
export interface Findings {
  readonly problems: Problem[]
  readonly warnings: Problem[]
}

/** Effective settings under their YAML names: text, numbers, lists, maps and `Secret`s. */
export type Effective = Map<string, unknown>

/**
 * Reads one map of the configuration setting by setting. Asking for a setting declares it: `close()` reports every
 * other key. A wrong value is reported and answered with the default, so that reading goes on and finds the rest.
 */
export class Section {
  readonly path: string
  readonly origin: Origin
  readonly effective: Effective = new Map()
  readonly findings: Findings
  readonly #node: MapNode | undefined
  readonly #known = new Set<string>()

  constructor(path: string, node: Tree | undefined, origin: Origin, findings: Findings) {
    this.path = path
    this.origin = node?.origin ?? origin
    this.findings = findings
    const isEmpty =
      node === undefined || (node.kind === 'scalar' && (node.value === null || node.value === ''))
    if (!isEmpty && node.kind !== 'map') this.#report(path, node.origin, 'must be a map of settings')
    this.#node = !isEmpty && node.kind === 'map' ? node : undefined
  }

  /** Whether the setting is written down at all. Does not declare it. */
  has(key: string): boolean {
    return this.#node?.entries.has(key) ?? false
  }

  /** Whether the setting is written as a list. Does not declare it. */
  isList(key: string): boolean {
    return this.#node?.entries.get(key)?.value.kind === 'list'
  }

  get keys(): string[] {
    return [...(this.#node?.entries.keys() ?? [])]
  }

  text(key: string, fallback: string): string {
    const scalar = this.#scalar(key)
    const text = scalar === undefined ? fallback : this.#textOf(key, scalar, fallback)
    this.effective.set(key, text)
    return text
  }

  /** Text in which nothing means absent. */
  optionalText(key: string): string | undefined {
    const text = this.text(key, '')
    return text === '' ? undefined : text
  }

  secret(key: string): Secret | undefined {
    const scalar = this.#scalar(key)
    const text = scalar === undefined ? '' : this.#textOf(key, scalar, '')
    this.effective.set(key, text === '' ? '' : new Secret(text))
    return text === '' ? undefined : new Secret(text)
  }

  choice<const T extends string>(key: string, values: readonly T[], fallback: T): T {
    const text = this.text(key, fallback)
    const found = values.find((value) => value === text)
    if (found === undefined)
      this.problem(key, `must be one of ${values.join(', ')}${didYouMean(text, values)}`)
    return found ?? fallback
  }

  boolean(key: string, fallback: boolean): boolean {
    const scalar = this.#scalar(key)
    let value: boolean | undefined = fallback
    if (scalar) value = typeof scalar.value === 'boolean' ? scalar.value : booleanOf(scalar)
    if (value === undefined) this.problem(key, 'must be true or false')
    this.effective.set(key, value ?? fallback)
    return value ?? fallback
  }

  integer(key: string, fallback: number, min: number, max: number): number {
    const scalar = this.#scalar(key)
    let value = fallback
    if (scalar) {
      const isNumeric =
        typeof scalar.value === 'number' || (scalar.isUntyped && /^-?\d{1,15}$/.test(scalar.source))
      value = isNumeric ? Number(scalar.value) : Number.NaN
      if (!Number.isInteger(value) || value < min || value > max) {
        this.problem(key, `must be a whole number from ${min} to ${max}`)
        value = fallback
      }
    }
    this.effective.set(key, value)
    return value
  }

  /** Milliseconds. */
  duration(key: string, fallbackMs: number, minMs = 1, maxMs = 3_650 * 86_400_000): number {
    const text = this.text(key, formatDuration(fallbackMs))
    const value = parseDuration(text)
    if (value === undefined)
      this.problem(key, 'must be a duration with its unit, such as 500ms, 8s, 60m or 24h')
    else if (value < minMs || value > maxMs) this.problem(key, `must be from ${minMs} ms to ${maxMs} ms`)
    else return value
    return fallbackMs
  }

  /** Bytes. */
  size(key: string, fallbackBytes: number, minBytes: number): number {
    const text = this.text(key, formatSize(fallbackBytes))
    const value = parseSize(text)
    if (value === undefined)
      this.problem(key, 'must be a size with its unit, such as 512KiB, 1024MiB or 2GiB')
    else if (value < minBytes) this.problem(key, `must be at least ${minBytes} bytes`)
    else return value
    return fallbackBytes
  }

  endpoint(key: string, fallback: Endpoint): Endpoint {
    const value = parseEndpoint(this.text(key, formatEndpoint(fallback)))
    if (!value) this.problem(key, 'must be host:port or [ipv6]:port')
    return value ?? fallback
  }

  textList(key: string, fallback: readonly string[]): readonly string[] {
    const list = this.#list(key)
    if (list === undefined) {
      this.effective.set(key, [...fallback])
      return fallback
    }
    const texts: string[] = []
    for (const [index, item] of list.items.entries()) {
      const text = item.kind === 'scalar' && item.value !== null ? item.source : ''
      if (text === '')
        this.#report(`${joinPath(this.path, key)}[${index}]`, item.origin, 'must be text, and not empty')
      else texts.push(text)
    }
    this.effective.set(key, texts)
    return texts
  }

  /** A list whose items somebody else checks. */
  rawList(key: string): { readonly plain: readonly unknown[]; readonly node: ListNode | undefined } {
    const node = this.#list(key)
    // toPlain of a list is an array.
    const plain = node ? (toPlain(node) as unknown[]) : []
    this.effective.set(key, plain)
    return { plain, node }
  }

  /** A child map; an absent or empty one reads as all defaults. */
  section<T>(key: string, read: (section: Section) => T): T {
    this.#known.add(key)
    const entry = this.#node?.entries.get(key)
    const child = new Section(
      joinPath(this.path, key),
      entry?.value,
      entry?.keyOrigin ?? this.origin,
      this.findings,
    )
    const value = read(child)
    child.close()
    this.effective.set(key, child.effective)
    return value
  }

  /** A child map that is `undefined` when its key is not written down. */
  optionalSection<T>(key: string, read: (section: Section) => T): T | undefined {
    this.#known.add(key)
    return this.has(key) ? this.section(key, read) : undefined
  }

  /** A map from names to text. */
  textMap(key: string): ReadonlyMap<string, string> {
    return this.section(key, (map) => new Map(map.keys.map((name) => [name, map.#requiredText(name)])))
  }

  /** A map from names to secrets. */
  secretMap(key: string): ReadonlyMap<string, Secret> {
    return this.section(key, (map) => {
      const secrets = new Map<string, Secret>()
      for (const name of map.keys) secrets.set(name, map.secret(name) ?? new Secret(''))
      return secrets
    })
  }

  /** Declares a key whose problem has been reported already. */
  ignore(key: string): void {
    this.#known.add(key)
  }

  /** Reports the setting `key`, at the place of its value, or of this map when it is not there. */
  problem(key: string, message: string): void {
    const entry = this.#node?.entries.get(key)
    const origin = entry ? placeOf(entry.value, entry.keyOrigin) : this.origin
    this.#report(joinPath(this.path, key), origin, message)
  }

  /** Reports a setting deeper down, which may be missing, at the deepest place that is written. */
  problemBelow(path: readonly (string | number)[], message: string): void {
    const origin = this.#node ? originBelow(this.#node, path.map(String)) : this.origin
    this.#report(path.reduce<string>(joinPath, this.path), origin, message)
  }

  warning(key: string, message: string): void {
    const entry = this.#node?.entries.get(key)
    this.findings.warnings.push(problemAt(joinPath(this.path, key), entry?.keyOrigin ?? this.origin, message))
  }

  /** Reports every key that nobody asked for. */
  close(): void {
    for (const [key, entry] of this.#node?.entries ?? []) {
      if (this.#known.has(key)) continue
      const hint = didYouMean(key, this.#known)
      this.#report(joinPath(this.path, key), entry.keyOrigin, `is not a setting${hint}`)
    }
  }

  #requiredText(key: string): string {
    const text = this.text(key, '')
    if (text === '') this.problem(key, 'must not be empty')
    return text
  }

  #list(key: string): ListNode | undefined {
    this.#known.add(key)
    const entry = this.#node?.entries.get(key)
    if (!entry || isNull(entry.value)) return undefined
    if (entry.value.kind === 'list') return entry.value
    if (entry.value.kind === 'scalar' && entry.value.isUntyped) return commaSeparated(entry.value)
    this.problem(key, 'must be a list')
    return undefined
  }

  #scalar(key: string): ScalarNode | undefined {
    this.#known.add(key)
    const entry = this.#node?.entries.get(key)
    if (!entry || isNull(entry.value)) return undefined
    if (entry.value.kind === 'scalar') return entry.value
    this.problem(key, `must be a single value, not a ${entry.value.kind}`)
    return undefined
  }

  #textOf(key: string, scalar: ScalarNode, fallback: string): string {
    if (typeof scalar.value === 'boolean') {
      this.problem(key, 'must be text; put it in quotes')
      return fallback
    }
    return scalar.source
  }

  #report(path: string, origin: Origin, message: string): void {
    this.findings.problems.push(problemAt(path, origin, message))
  }
}

function placeOf(value: Tree, keyOrigin: Origin): Origin {
  return value.origin.line > 0 || value.origin.file !== keyOrigin.file ? value.origin : keyOrigin
}

function isNull(node: Tree): boolean {
  return node.kind === 'scalar' && node.value === null
}

function booleanOf(scalar: ScalarNode): boolean | undefined {
  if (!scalar.isUntyped) return undefined
  return scalar.source === 'true' ? true : scalar.source === 'false' ? false : undefined
}

// One environment variable carries a list as a,b,c.
function commaSeparated(scalar: ScalarNode): ListNode {
  const parts = scalar.source.split(',').flatMap((part) => (part.trim() === '' ? [] : [part.trim()]))
  return {
    kind: 'list',
    items: parts.map((part) => ({ ...scalar, value: part, source: part })),
    origin: scalar.origin,
  }
}
