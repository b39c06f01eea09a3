// One YAML file per case in testdata. Comment lines at its head say what must come out: `# problem:` and `# warning:`
// in full, FILE standing for the file's name; `# env: NAME=value` and `# set: a.b=c` are further input.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { loadConfig } from '../../../src/config/load.ts'
import { formatProblem, type Problem } from '../../../src/config/tree.ts'

const folder = join(import.meta.dirname, 'testdata')
const files = (kind: string) => readdirSync(join(folder, kind)).filter((name) => name.endsWith('.yaml'))

function expected(text: string, word: string): string[] {
  const prefix = `# ${word}: `
  return text.split('\n').flatMap((line) => (line.startsWith(prefix) ? [line.slice(prefix.length)] : []))
}

async function load(kind: string, name: string) {
  const text = readFileSync(join(folder, kind, name), 'utf8')
  const env = Object.fromEntries(expected(text, 'env').map((line) => line.split(/=(.*)/s).slice(0, 2)))
  const loaded = await loadConfig({
    files: [name],
    sets: expected(text, 'set'),
    env,
    cwd: join(folder, kind),
  })
  const lines = (found: readonly Problem[]) => found.map((one) => formatProblem(one).replaceAll(name, 'FILE'))
  return { text, loaded, problems: lines(loaded.problems), warnings: lines(loaded.warnings) }
}

test.each(files('good'))('%s is valid, with exactly the warnings it names', async (name) => {
  const { text, loaded, problems, warnings } = await load('good', name)
  expect(problems).toEqual([])
  expect(warnings).toEqual(expected(text, 'warning'))
  expect(loaded.config).toBeDefined()
})

test.each(files('bad'))('%s has exactly the problems it names, each at its place', async (name) => {
  const { text, loaded, problems } = await load('bad', name)
  expect(problems).toEqual(expected(text, 'problem'))
  expect(problems).not.toEqual([])
  expect(loaded.config).toBeUndefined()
})

test('the case with every setting holds every setting, none at its default', async () => {
  const { text, loaded } = await load('good', 'everything.yaml')
  const minimal = await load('good', 'minimal.yaml')
  const written = leaves(parse(text))
  const unset = [...leaves(loaded.effective).keys()].filter((path) => !written.has(path))
  // What is left out stands below a second component of a kind whose first one has it all, cannot stand beside another, or
  // has one value that is taken today.
  expect(
    unset.filter(
      (path) =>
        !/^exporters\.otlp_http\/next|\.http\.|^kms\.aws\.(region|use_fips_endpoint)$|^storage\.enabled$|^processors\.signing\.proof$/.test(
          path,
        ),
    ),
  ).toEqual([])
  const defaults = leaves(minimal.loaded.effective)
  const same = [...leaves(loaded.effective)].filter(
    ([path, value]) => written.has(path) && defaults.get(path) === value,
  )
  expect(same).toEqual([])
})

/** Path → JSON of every scalar and list. */
function leaves(value: unknown, path = '', into = new Map<string, string>()): Map<string, string> {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value) && !('reveal' in value)
  if (!isMap) return into.set(path, JSON.stringify(value))
  const entries = value instanceof Map ? [...value] : Object.entries(value)
  for (const [key, item] of entries) leaves(item, path === '' ? key : `${path}.${key}`, into)
  return into
}
