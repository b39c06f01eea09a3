// A Java properties file of the names in `seed-names.ts`. It may be a whole application's: what other programs read in it
// is let be, and counted.

import { HASH_IS_VALUE, hasComment, mistakenName, readSeedName } from './legacy-names.ts'
import type { Findings } from './section.ts'
import { mergeTrees, type Origin, problemAt, type Tree } from './tree.ts'

/** The file's settings as one tree. A name that is like ours and is none is a problem: nobody would read it. */
export function readProperties(text: string, file: string, findings: Findings): Tree | undefined {
  const { problems, warnings } = findings
  const foreign: Origin[] = []
  let tree: Tree | undefined
  for (const { content, line } of logicalLines(text)) {
    const origin: Origin = { file, line, column: 1 }
    const match = /^((?:\\.|[^\\=:\s])+)\s*[=:\s]\s*(.*)$/s.exec(content) ?? [content, content, '']
    const name = unescapeProperty(match[1]!)
    const value = unescapeProperty(match[2]!)
    if (value === '') continue
    const problemCount = problems.length
    const setting = readSeedName(name, value, origin, problems)
    if (setting === 'unknown') {
      const mistake = mistakenName(name)
      if (mistake === undefined) foreign.push(origin)
      else problems.push(problemAt(name, origin, mistake))
      continue
    }
    if (hasComment(value) && problems.length === problemCount)
      warnings.push(problemAt(name, origin, HASH_IS_VALUE))
    if (setting) tree = tree ? mergeTrees(tree, setting) : setting
  }
  if (foreign.length > 0) {
    const count = foreign.length === 1 ? 'one property' : `${foreign.length} properties`
    warnings.push(problemAt('', foreign[0]!, `holds ${count} of other programs, ignored here`))
  }
  return tree
}

// A line that ends in an odd number of backslashes goes on in the next one, whose leading blanks do not count.
function* logicalLines(text: string): Generator<{ content: string; line: number }> {
  const lines = text.split(/\r\n|\n|\r/)
  for (let index = 0; index < lines.length; index++) {
    const line = index + 1
    let content = lines[index]!.trimStart()
    if (content === '' || content.startsWith('#') || content.startsWith('!')) continue
    while (/(?:^|[^\\])(?:\\\\)*\\$/.test(content) && index + 1 < lines.length) {
      content = content.slice(0, -1) + lines[++index]!.trimStart()
    }
    yield { content, line }
  }
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['t', '\t'],
  ['n', '\n'],
  ['r', '\r'],
  ['f', '\f'],
])

function unescapeProperty(text: string): string {
  return text.replace(
    /\\(?:u([0-9A-Fa-f]{4})|(.))/g,
    (_, hex: string | undefined, letter: string | undefined) =>
      hex === undefined ? (ESCAPES.get(letter!) ?? letter!) : String.fromCharCode(Number.parseInt(hex, 16)),
  )
}
