// A key of a map, a set or a cache that is made of several parts must be of no other parts, or one could stand for the
// other. JSON of a list has one reading; texts put together with something between them have as many as that something
// occurs in the parts.
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../../src')

/** Put together, and of one reading for the reason given. */
const OF_ONE_READING: ReadonlyMap<string, string> = new Map([
  ['admin/kms-validation.ts in place', 'sentences to show, each of them once'],
  ['kms/azure/vault.ts text', "a key's id, whose parts have no slash but the vault's own"],
  ['store/queue.ts name', 'a signal is one of three words, none with a colon'],
])

const KEYED_CALL = /\.(?:get|set|has|add|delete)\(\s*/.source
const JOINED = String.raw`(?:\x60[^\x60]*\$\{[^\x60]*\$\{[^\x60]*\x60|(?:\[[^\]]*\]|[\w.#]+(?:\([^\n]*\))?)\.join\([^)]*\))`

/** Names in a file that stand for a text put together of parts: of a constant, or of a function that returns one. */
function joinedNames(text: string): string[] {
  const patterns = [
    new RegExp(String.raw`\b(?:const|let) (\w+)(?:: \w+)? = (?:\([^)]*\): string =>\s*)?${JOINED}`, 'g'),
    new RegExp(String.raw`\bfunction (\w+)\([^)]*\): string \{\s*return ${JOINED}`, 'g'),
  ]
  return patterns.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1]!))
}

/** Constants that are given what one of the functions `names` returns. */
function givenNames(text: string, names: readonly string[]): string[] {
  return names.flatMap((name) =>
    [...text.matchAll(new RegExp(String.raw`\bconst (\w+) = ${name}\(`, 'g'))].map((match) => match[1]!),
  )
}

function findings(file: string, text: string, foreign: readonly string[]): string[] {
  const joined = [...joinedNames(text), ...foreign]
  const names = [...new Set([...joined, ...givenNames(text, joined)])]
  const used = names.filter((name) => new RegExp(String.raw`${KEYED_CALL}${name}\b`).test(text))
  const direct = new RegExp(KEYED_CALL + JOINED).test(text.replaceAll(/'[^'\n]*'/g, "''")) ? ['in place'] : []
  return [...used, ...direct].map((name) => `${file} ${name}`)
}

test('keys of several parts are JSON of them', () => {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  )
  const texts = files.map((file) => readFileSync(join(root, file), 'utf8'))
  const exported = texts.flatMap((text) =>
    joinedNames(text).filter((name) =>
      new RegExp(String.raw`export (?:const|function) ${name}\b`).test(text),
    ),
  )
  expect(files.length).toBeGreaterThan(300)
  const found = files.flatMap((file, index) => findings(relative('.', file), texts[index]!, exported))
  expect(found.filter((name) => !OF_ONE_READING.has(name))).toEqual([])
})

// `#{` stands for what begins a substitution, which a linter takes for a slip in a plain text.
test.each([
  ['const id = `#{a} #{b}`\nthis.#known.get(id)', ['f.ts id']],
  ["const id = [a, b].join('\\n')\nknown.has(id)", ['f.ts id']],
  ['const nameOf = (a: string, b: string): string => `#{a}/#{b}`\nknown.add(nameOf(a, b))', ['f.ts nameOf']],
  [
    'function nameOf(a: string): string {\n  return `#{a}/#{this.b}`\n}\nknown.set(nameOf(a), 1)',
    ['f.ts nameOf'],
  ],
  [
    'const nameOf = (a: string): string => `#{a}/#{b}`\nconst name = nameOf(a)\nknown.add(name)',
    ['f.ts name'],
  ],
  ['known.set(`#{a} #{b}`, 1)', ['f.ts in place']],
  ["known.delete([a, b].join(' '))", ['f.ts in place']],
  ['const id = JSON.stringify([a, b])\nknown.get(id)', []],
  ['const text = `#{a} #{b}`\nlog(text)', []],
  ['known.get(`head:#{a}`)', []],
])('%j', (text, expected) => {
  expect(findings('f.ts', text.replaceAll('#{', '\u0024{'), [])).toEqual(expected)
})
