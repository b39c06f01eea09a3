// What a bench run found, held against `thresholds.json`: printed in 80 columns, written as JSON, and turned into an
// exit code. A missed target stays in the table, marked.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'

interface Threshold {
  readonly min?: number
  readonly max?: number
  readonly unit: string
  /** `always`: a miss fails every run. `full`: only a full run, since a short one is too noisy to judge by. */
  readonly gate: 'always' | 'full'
  readonly what: string
}

export interface Finding {
  readonly id: string
  readonly value: number
  readonly isMet: boolean
  readonly isGating: boolean
}

const OUT = join(import.meta.dirname, 'out')
const COLUMNS = 80

export class Report {
  readonly #name: string
  readonly #isFull: boolean
  readonly #thresholds: ReadonlyMap<string, Threshold>
  readonly #findings: Finding[] = []
  readonly #details = new Map<string, unknown>()
  readonly #startedAt = new Date()

  constructor(name: string, isFull: boolean) {
    this.#name = name
    this.#isFull = isFull
    // A file of this folder, in this shape.
    const rows = JSON.parse(readFileSync(join(import.meta.dirname, 'thresholds.json'), 'utf8')) as Record<
      string,
      Threshold
    >
    this.#thresholds = new Map(Object.entries(rows))
    const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, Node ${process.version}`
    this.#details.set('machine', {
      machine,
      memoryBytes: totalmem(),
      startedAt: this.#startedAt.toISOString(),
    })
    console.log(`${name}: ${machine}`)
  }

  /** Holds one figure against its threshold, which must exist. */
  judge(id: string, value: number): void {
    const threshold = this.#thresholds.get(id)
    if (threshold === undefined) throw new Error(`thresholds.json has no ${id}`)
    // Not a number is a measurement that did not happen, which no comparison would notice.
    const isMet = value >= (threshold.min ?? -Infinity) && value <= (threshold.max ?? Infinity)
    this.#findings.push({ id, value, isMet, isGating: threshold.gate === 'always' || this.#isFull })
  }

  /** Prints rows under a title, first column to the left, and keeps them for the JSON file. */
  table(title: string, head: readonly string[], rows: readonly (readonly string[])[], raw: unknown): void {
    this.#details.set(title, raw)
    printTable(title, head, rows)
  }

  /** Prints the targets and writes the file. The exit code: 1 when one that counts was missed. */
  finish(): number {
    console.log(`\nTargets\n${'-'.repeat(COLUMNS)}`)
    for (const { id, value, isMet, isGating } of this.#findings) {
      const { min, max, unit, what } = this.#thresholds.get(id)!
      const bound = min === max ? `= ${min}` : max === undefined ? `>= ${min}` : `<= ${max}`
      const mark = isMet ? 'met   ' : isGating ? 'MISSED' : 'missed'
      console.log(`${mark} ${`${format(value)} ${unit}`.trim().padStart(11)}  (${bound})  ${what}`)
    }
    mkdirSync(OUT, { recursive: true })
    const file = join(OUT, `${this.#name}.json`)
    const content = { findings: this.#findings, details: Object.fromEntries(this.#details) }
    writeFileSync(file, `${JSON.stringify(content, undefined, 2)}\n`)
    const missed = this.#findings.filter((each) => !each.isMet && each.isGating).length
    const seconds = ((Date.now() - this.#startedAt.getTime()) / 1000).toFixed(0)
    console.log(
      `\n${this.#findings.length - missed} targets met or not counted, ${missed} missed, ${seconds} s; ${file}`,
    )
    return missed === 0 ? 0 : 1
  }
}

export function printTable(
  title: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  const widths = head.map((cell, column) =>
    Math.max(cell.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join('  ')
  console.log(`\n${title}\n${'-'.repeat(Math.min(COLUMNS, line(head).length))}`)
  if (head.some((cell) => cell !== '')) console.log(line(head))
  for (const row of rows) console.log(line(row))
}

/** A figure in as many digits as it deserves. */
export function format(value: number): string {
  if (!Number.isFinite(value)) return '-'
  if (Number.isInteger(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString('en')
  if (Math.abs(value) >= 10) return value.toFixed(1)
  return value.toFixed(value > 0.99 && value < 1 ? 5 : 2)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
