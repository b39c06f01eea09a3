import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../../src')

// Lower number, lower layer. A file may import its own folder and what stands lower, never beside it.
const LAYERS: readonly (readonly string[])[] = [
  ['errors.ts', 'limits.ts', 'clock.ts', 'directory.ts', 'node-http.ts', 'telemetry.ts', 'version.ts'],
  ['wire'],
  ['redaction', 'evidence', 'keys', 'store'],
  ['pipeline.ts', 'pipeline'],
  ['receivers', 'exporters', 'admin'],
  ['main.ts', 'index.ts', 'cli', 'service.ts', 'service', 'config'],
]
// The edges meet in one interface and one entry type that stand with the lower neighbour.
const SAME_LAYER_ALLOWED = new Set([
  'main.ts→cli',
  'cli→service.ts',
  'cli→service',
  'cli→config',
  'service.ts→config',
  'service→config',
  'service.ts→service',
  'service→service.ts',
  'pipeline.ts→pipeline',
  'pipeline→pipeline.ts',
  'index.ts→cli',
  'index.ts→service',
  'cli→main.ts',
])

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
}

const topOf = (file: string): string => relative(root, file).split('/')[0]!
const layerOf = (top: string): number => LAYERS.findIndex((layer) => layer.includes(top))

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8')
  const found = text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)
  return [...found].map((match) => resolve(dirname(file), match[1]!))
}

test('every source file stands in a known layer', () => {
  const unknown = sourceFiles(root).filter((file) => layerOf(topOf(file)) < 0)
  expect(unknown.map((file) => relative(root, file))).toEqual([])
})

test('imports point down: no file imports a higher layer or a sibling subject', () => {
  const wrong: string[] = []
  for (const file of sourceFiles(root)) {
    const from = topOf(file)
    for (const target of importsOf(file)) {
      const to = topOf(target)
      if (from === to || SAME_LAYER_ALLOWED.has(`${from}→${to}`)) continue
      if (layerOf(to) >= layerOf(from))
        wrong.push(`${relative(root, file)} imports ${relative(root, target)}`)
    }
  }
  expect(wrong).toEqual([])
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
