import { styleText } from 'node:util'

/** Eighty columns, colours only where somebody looks. */
export class Printer {
  readonly #out: NodeJS.WritableStream
  #failedCount = 0

  constructor(out: NodeJS.WritableStream) {
    this.#out = out
  }

  allTrue(): boolean {
    this.line('')
    if (this.#failedCount === 0) this.line(this.#style('green', 'Every claim held.'))
    else this.line(this.#style('red', `${this.#failedCount} claim(s) did not hold.`))
    return this.#failedCount === 0
  }

  title(text: string): void {
    this.line(this.#style('bold', text))
    this.line('')
  }

  heading(text: string): void {
    this.line('')
    this.line(this.#style('bold', text))
  }

  claim(isTrue: boolean, text: string): void {
    if (!isTrue) this.#failedCount++
    const mark = isTrue ? this.#style('green', '  ok  ') : this.#style('red', '  NO  ')
    const [first = '', ...rest] = wrap(text, 72)
    this.line(mark + first)
    for (const line of rest) this.line(`      ${line}`)
  }

  pair(key: string, before: string, after: string): void {
    this.line(`  ${this.#style('cyan', key)}`)
    for (const [index, line] of wrap(before, 68).entries())
      this.line(`    ${index === 0 ? 'before' : '      '}  ${this.#style('red', line)}`)
    for (const [index, line] of wrap(after, 68).entries())
      this.line(`    ${index === 0 ? 'after ' : '      '}  ${this.#style('green', line)}`)
  }

  detail(text: string): void {
    for (const raw of text.split('\n').filter((each) => each !== ''))
      for (const line of wrap(raw.trim(), 70)) this.line(`        ${this.#style('dim', line)}`)
  }

  line(text: string): void {
    this.#out.write(`${text}\n`)
  }

  #style(style: 'bold' | 'green' | 'red' | 'cyan' | 'dim', text: string): string {
    // styleText asks the stream itself whether it shows colours, NO_COLOR and FORCE_COLOR included.
    return styleText(style, text, { stream: this.#out as NodeJS.WriteStream })
  }
}

/** Breaks at spaces where it can and anywhere where it must: URLs and tokens have no spaces. */
function wrap(text: string, columns: number): string[] {
  const lines: string[] = []
  let rest = text
  while (rest.length > columns) {
    const space = rest.lastIndexOf(' ', columns)
    const at = space > columns / 2 ? space : columns
    lines.push(rest.slice(0, at))
    rest = rest.slice(at).trimStart()
  }
  lines.push(rest)
  return lines
}
