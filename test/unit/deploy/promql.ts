// What an expression asks for: metric names, and the labels it matches on each. Not a parser of PromQL; promtool is, in
// the interop tests. This one finds names, so that none can stand in an alert or a panel that nobody exports.

export interface Selector {
  readonly metric: string
  readonly labels: readonly string[]
}

const KEYWORDS = new Set(['and', 'or', 'unless', 'bool', 'offset', 'on', 'ignoring', 'by', 'without'])
const STRING = /"(?:[^"\\]|\\.)*"/g
// by (a, b), on (a): label names, not metrics.
const GROUPING = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g
const RANGE = /\[[^\]]*\]/g
const NAME = /(?<![0-9a-zA-Z_:.])([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\(|\{([^}]*)\})?/g

/** Selectors in the order they stand; a function is none. */
export function selectorsOf(expression: string): Selector[] {
  const found: Selector[] = []
  const bare = expression.replace(STRING, '""').replace(GROUPING, ' ').replace(RANGE, ' ')
  for (const [, name, after, matchers] of bare.matchAll(NAME)) {
    if (after === '(' || KEYWORDS.has(name!)) continue
    const labels = [...(matchers ?? '').matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)/g)]
    found.push({ metric: name!, labels: labels.map((match) => match[1]!) })
  }
  return found
}

/** Names of all series on a metrics page, histograms with their three endings. */
export function exportedNames(page: string): Set<string> {
  const names = new Set<string>()
  for (const [, name, kind] of page.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    if (kind !== 'histogram') names.add(name!)
    else for (const ending of ['_bucket', '_sum', '_count']) names.add(name! + ending)
  }
  return names
}

/** Label names of a metric's series, or `undefined` while it has no series yet. */
export function labelsOf(page: string, metric: string): Set<string> | undefined {
  const lines = page
    .split('\n')
    .filter((line) => line.startsWith(`${metric}{`) || line.startsWith(`${metric} `))
  if (lines.length === 0) return undefined
  return new Set(
    lines.flatMap((line) => [...line.matchAll(/[{,]([a-zA-Z_][a-zA-Z0-9_]*)="/g)].map((match) => match[1]!)),
  )
}
