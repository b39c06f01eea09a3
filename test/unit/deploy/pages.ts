// The pages under docs/, cut into what a reader takes from them: fenced blocks, and names in prose.
import { filesUnder, text } from './operations-files.ts'

export interface Block {
  readonly page: string
  readonly line: number
  /** What stands behind the opening fence: a language, and who runs it. */
  readonly info: string
  readonly content: string
  /** Lines `# → text`: output that must come, `…` standing for anything. */
  readonly expected: readonly string[]
}

export const OPERATORS_PAGES = [...filesUnder('docs/runbooks', '.md'), ...filesUnder('docs/setup', '.md')]
/** These too name metrics and variables. */
export const ALL_PAGES = [...filesUnder('docs', '.md'), ...filesUnder('deploy', '.md'), 'README.md']

export function blocksOf(page: string): Block[] {
  const blocks: Block[] = []
  let open: { info: string; line: number; lines: string[] } | undefined
  for (const [index, line] of text(page).split('\n').entries()) {
    if (!line.startsWith('```')) open?.lines.push(line)
    else if (open === undefined) open = { info: line.slice(3).trim(), line: index + 1, lines: [] }
    else {
      const expected = open.lines.filter((each) => each.startsWith('# → ')).map((each) => each.slice(4))
      blocks.push({ page, line: open.line, info: open.info, content: open.lines.join('\n'), expected })
      open = undefined
    }
  }
  if (open !== undefined) throw new Error(`${page}: a fence is not closed`)
  return blocks
}

/** What `a(b|c)d|e` stands for: `abd`, `acd`, `e`. Each must be found, since a pattern passes with one half missing. */
export function alternativesOf(pattern: string): string[] {
  let position = 0
  return union()

  function union(): string[] {
    const done: string[] = []
    let open = ['']
    for (; position < pattern.length && pattern[position] !== ')'; position++) {
      const char = pattern[position]!
      if (char === '|') {
        done.push(...open)
        open = ['']
      } else if (char === '(') {
        position++
        const inner = union()
        open = open.flatMap((head) => inner.map((tail) => head + tail))
      } else open = open.map((head) => head + char)
    }
    return [...done, ...open]
  }
}
