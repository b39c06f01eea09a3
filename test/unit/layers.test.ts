import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../../src')

// Which room may import which, lowest first; every room may import `base` and itself. An arrow that is not here is a
// decision: docs/architecture.md says what each room knows.
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  base: [],
  wire: [],
  formats: ['wire'],
  detection: [],
  kms: ['formats'],
  redaction: ['wire', 'formats', 'detection'],
  evidence: ['wire', 'formats'],
  keys: ['wire', 'formats', 'kms', 'evidence'],
  store: ['wire'],
  pipeline: ['wire', 'formats', 'kms', 'redaction', 'evidence', 'keys', 'store'],
  receivers: ['wire', 'pipeline'],
  exporters: ['wire'],
  admin: ['wire', 'formats', 'kms', 'evidence', 'keys', 'store', 'pipeline', 'receivers', 'exporters'],
  config: [
    'wire',
    'formats',
    'kms',
    'redaction',
    'evidence',
    'keys',
    'store',
    'pipeline',
    'receivers',
    'exporters',
  ],
  service: [
    'wire',
    'kms',
    'evidence',
    'keys',
    'store',
    'pipeline',
    'receivers',
    'exporters',
    'admin',
    'config',
  ],
  cli: ['wire', 'formats', 'detection', 'kms', 'redaction', 'evidence', 'keys', 'store', 'config', 'service'],
  'main.ts': ['cli'],
  'index.ts': ['wire', 'evidence'],
}

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
}

const roomOf = (file: string): string => relative(root, file).split('/')[0]!

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8')
  const found = text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)
  return [...found].map((match) => resolve(dirname(file), match[1]!))
}

test('every source file stands in a known room', () => {
  const unknown = sourceFiles(root).filter((file) => !(roomOf(file) in ALLOWED))
  expect(unknown.map((file) => relative(root, file))).toEqual([])
})

test('a room imports only what the table allows', () => {
  const wrong = sourceFiles(root).flatMap((file) =>
    importsOf(file)
      .filter((target) => {
        const [from, to] = [roomOf(file), roomOf(target)]
        return from !== to && to !== 'base' && !ALLOWED[from]?.includes(to)
      })
      .map((target) => `${relative(root, file)} imports ${relative(root, target)}`),
  )
  expect(wrong).toEqual([])
})

test('the table allows nothing that nobody uses', () => {
  const used = new Set<string>()
  for (const file of sourceFiles(root)) {
    for (const target of importsOf(file)) used.add(`${roomOf(file)} → ${roomOf(target)}`)
  }
  const allowed = Object.entries(ALLOWED).flatMap(([from, tos]) => tos.map((to) => `${from} → ${to}`))
  expect(allowed.filter((edge) => !used.has(edge))).toEqual([])
})

test('no files import each other in a circle', () => {
  const files = sourceFiles(root)
  const imports = new Map(files.map((file) => [file, importsOf(file)]))
  const done = new Set<string>()
  const circles: string[] = []
  const walk = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file)
    if (start >= 0) circles.push([...path.slice(start), file].map((each) => relative(root, each)).join(' → '))
    if (start >= 0 || done.has(file)) return
    for (const target of imports.get(file) ?? []) walk(target, [...path, file])
    done.add(file)
  }
  for (const file of files) walk(file, [])
  expect(circles).toEqual([])
})

test("an AbortSignal is called `abort`: `signal` is OTLP's word", () => {
  const wrong = sourceFiles(root).filter((file) =>
    /\bsignal\??: AbortSignal\b(?!\.)/.test(readFileSync(file, 'utf8')),
  )
  expect(wrong.map((file) => relative(root, file))).toEqual([])
})

test('every relative import names a file that exists, with its extension', () => {
  const files = new Set(sourceFiles(root))
  const broken = [...files].flatMap((file) =>
    importsOf(file)
      .filter((target) => target.endsWith('.ts') && !files.has(target))
      .map((target) => `${relative(root, file)} → ${relative(root, target)}`),
  )
  expect(broken).toEqual([])
})
