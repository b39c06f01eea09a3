// Prometheus text to OpenMetrics 1.0. The two differ in four things: a counter's family is named without `_total`, help
// escapes quotes, there are no empty lines, and `# EOF` ends it. A counter whose name has no `_total` (the Collector's
// names have none) is exposed as `unknown`: as a counter it would have to be renamed, and then alerts would match or not
// depending on what the scraper accepts.

/** Rewrites an exposition. Sample lines stay as they are, so names and values are the same in both formats. */
export function toOpenMetrics(prometheus: string): string {
  const kinds = familyKinds(prometheus)
  let out = ''
  for (const line of prometheus.split('\n')) {
    if (line === '') continue
    out += line.startsWith('# ') ? rewriteComment(line, kinds) : `${line}\n`
  }
  return `${out}# EOF\n`
}

const COMMENT = /^# (HELP|TYPE) ([^ ]+) ?(.*)$/

function familyKinds(text: string): Map<string, string> {
  const kinds = new Map<string, string>()
  for (const line of text.split('\n')) {
    const match = COMMENT.exec(line)
    if (match?.[1] === 'TYPE') kinds.set(match[2]!, match[3]!)
  }
  return kinds
}

function rewriteComment(line: string, kinds: ReadonlyMap<string, string>): string {
  const match = COMMENT.exec(line)
  if (!match) return ''
  const [, word, name = '', rest = ''] = match
  const kind = kinds.get(name)
  const isNamedCounter = kind === 'counter' && name.endsWith('_total')
  const family = isNamedCounter ? name.slice(0, -'_total'.length) : name
  if (word === 'HELP') return `# HELP ${family} ${rest.replaceAll('"', '\\"')}\n`
  const isUnknown = kind === 'untyped' || (kind === 'counter' && !isNamedCounter)
  return `# TYPE ${family} ${isUnknown ? 'unknown' : rest}\n`
}
