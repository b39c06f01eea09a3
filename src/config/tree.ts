// Configuration between its sources and its types: a tree in which every value remembers where it was written, so that
// a problem found after merging five sources still names the file, line and column that caused it.

/** Where something was written. Line and column count from 1; 0 when the source has no lines (`--set`, environment). */
export interface Origin {
  readonly file: string
  readonly line: number
  readonly column: number
}

export type Tree = MapNode | ListNode | ScalarNode

export interface MapNode {
  readonly kind: 'map'
  readonly entries: ReadonlyMap<string, Entry>
  readonly origin: Origin
}

export interface Entry {
  readonly keyOrigin: Origin
  readonly value: Tree
}

export interface ListNode {
  readonly kind: 'list'
  readonly items: readonly Tree[]
  readonly origin: Origin
}

export interface ScalarNode {
  readonly kind: 'scalar'
  readonly value: string | number | boolean | null
  /** The characters as written: a token `007` stays `007` where text is wanted. */
  readonly source: string
  /** The value came from outside YAML (environment, `--set`, properties), where everything is text. */
  readonly isUntyped: boolean
  readonly origin: Origin
}

/** One thing wrong with the configuration. `path` is empty when it concerns a whole file. */
export interface Problem {
  readonly path: string
  readonly file: string
  readonly line: number
  readonly column: number
  readonly message: string
}

export function problemAt(path: string, origin: Origin, message: string): Problem {
  return { path, file: origin.file, line: origin.line, column: origin.column, message }
}

/** `path: message (file:line:column)`, on one line. */
export function formatProblem(problem: Problem): string {
  const place = problem.line > 0 ? `${problem.file}:${problem.line}:${problem.column}` : problem.file
  const head = problem.path === '' ? '' : `${problem.path}: `
  return `${head}${problem.message}${place === '' ? '' : ` (${place})`}`
}

/** Maps merge key by key; anything else is replaced, lists too. An empty value over a map leaves the map alone. */
export function mergeTrees(base: Tree, over: Tree): Tree {
  if (base.kind === 'map' && over.kind === 'scalar' && over.value === null) return base
  if (base.kind !== 'map' || over.kind !== 'map') return over
  const entries = new Map(base.entries)
  for (const [key, entry] of over.entries) {
    const existing = entries.get(key)
    entries.set(key, existing ? { ...entry, value: mergeTrees(existing.value, entry.value) } : entry)
  }
  return { kind: 'map', entries, origin: over.origin }
}

/** A tree that holds one value at `path`, to be merged over another. */
export function treeAt(path: readonly string[], value: Tree): Tree {
  return path.reduceRight<Tree>(
    (inner, key) => ({
      kind: 'map',
      entries: new Map([[key, { keyOrigin: value.origin, value: inner }]]),
      origin: value.origin,
    }),
    value,
  )
}

/** A value from a source in which everything is text. */
export function untyped(text: string, origin: Origin): ScalarNode {
  return { kind: 'scalar', value: text, source: text, isUntyped: true, origin }
}

/** Plain arrays and objects, for code that takes `unknown`. A key `__proto__` becomes an ordinary own property. */
export function toPlain(node: Tree): unknown {
  if (node.kind === 'scalar') return node.value
  if (node.kind === 'list') return node.items.map(toPlain)
  const plain: Record<string, unknown> = {}
  for (const [key, entry] of node.entries) {
    Object.defineProperty(plain, key, {
      value: toPlain(entry.value),
      enumerable: true,
      configurable: true,
      writable: true,
    })
  }
  return plain
}

/** The origin of the deepest node that `path` (keys, list indexes) reaches below `node`. */
export function originBelow(node: Tree, path: readonly string[]): Origin {
  let current = node
  let origin = node.origin
  for (const step of path) {
    if (current.kind === 'map') {
      const entry = current.entries.get(step)
      if (!entry) return origin
      origin = entry.keyOrigin
      current = entry.value
    } else if (current.kind === 'list') {
      const item = current.items[Number(step)]
      if (!item) return origin
      origin = item.origin
      current = item
    } else {
      return origin
    }
  }
  return origin
}
