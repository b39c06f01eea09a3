import { styleText } from 'node:util'

/** Where a command writes, and what it knows of the world. `process` fits, and so does a test's pair of streams. */
export interface CommandIo {
  readonly stdout: Output
  readonly stderr: Output
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
}

/** A stream that may be a terminal. */
export type Output = NodeJS.WritableStream & {
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

export const ExitCode = { GOOD: 0, FAILED: 1, CANNOT_TELL: 2, USAGE: 3 } as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** Widest line that we print of our own accord. */
export const LINE_COLUMNS = 80

export type Style = Parameters<typeof styleText>[0]
export type Paint = (style: Style, text: string) => string

/** NO_COLOR wins, then FORCE_COLOR (0 and false mean no), then whether `output` is a terminal that is not dumb. */
export function hasColours(output: Output, env: CommandIo['env']): boolean {
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return false
  const forced = env.FORCE_COLOR
  if (forced !== undefined && forced !== '') return forced !== '0' && forced !== 'false'
  return output.isTTY === true && env.TERM !== 'dumb'
}

/** Paints text, or leaves it alone where colours are not wanted. */
export function painter(output: Output, env: CommandIo['env']): Paint {
  if (!hasColours(output, env)) return (_style, text) => text
  return (style, text) => styleText(style, text, { validateStream: false })
}

/** For text that comes from outside, a tenant's name for one: its control characters stay off the terminal. */
export function escapeControls(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`)
}

/** Wraps at blanks; a word longer than the line stands alone. Every line starts with `indent`, the first with `first`. */
export function wrap(text: string, indent = '', first = indent, columns = LINE_COLUMNS): string {
  const lines: string[] = []
  let line = first
  let isLineEmpty = true
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    if (!isLineEmpty && line.length + 1 + word.length > columns) {
      lines.push(line)
      line = indent
      isLineEmpty = true
    }
    line += isLineEmpty ? word : ` ${word}`
    isLineEmpty = false
  }
  return [...lines, line].join('\n')
}

/** Columns of equal width, two blanks apart; the last one wraps under itself. Ends in a newline. */
export function table(rows: readonly (readonly string[])[], indent = '', columns = LINE_COLUMNS): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length)
  }
  let text = ''
  for (const row of rows) {
    const lead = row.slice(0, -1).map((cell, index) => `${cell.padEnd(widths[index]!)}  `)
    const first = indent + lead.join('')
    text += `${wrap(row.at(-1) ?? '', ' '.repeat(first.length), first, columns).trimEnd()}\n`
  }
  return text
}
