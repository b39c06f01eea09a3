import { readSeedName } from './legacy-names.ts'
import { type Origin, type Problem, problemAt, type Tree, treeAt } from './tree.ts'
import { readYaml } from './yaml-source.ts'

/** One `--set a.b.c=value` as a tree to merge over the files. The value is read as YAML: `[a, b]`, `true`, `60m`. */
export function readOverride(set: string, problems: Problem[]): Tree | undefined {
  const equals = findEquals(set)
  const name = equals < 0 ? '' : set.slice(0, equals).trim()
  const origin: Origin = { file: name === '' ? '--set' : `--set ${name}`, line: 0, column: 0 }
  if (name === '') {
    problems.push(problemAt('', origin, 'must have the form a.b.c=value'))
    return undefined
  }
  const text = set.slice(equals + 1)
  const seed = readSeedName(name, text, origin, problems)
  if (seed !== 'unknown') return seed
  const path = splitPath(name)
  if (!path) {
    problems.push(
      problemAt(name, origin, 'is not a path; write a.b.c, and put a part that holds dots into "quotes"'),
    )
    return undefined
  }
  const value = readOverrideValue(text, origin, problems)
  return value && treeAt(path, value)
}

// The first = outside quotes; a quoted part of the path may hold one.
function findEquals(set: string): number {
  let isQuoted = false
  for (let index = 0; index < set.length; index++) {
    if (set[index] === '"') isQuoted = !isQuoted
    else if (set[index] === '=' && !isQuoted) return index
  }
  return -1
}

/** `a."b.c".d` to its parts; `undefined` when a part is empty or a quote is open. */
export function splitPath(text: string): string[] | undefined {
  const parts: string[] = []
  const step = /(?:"((?:[^"\\]|\\.)*)"|([^".]+))(\.|$)/y
  for (let position = 0; position < text.length || position === 0; ) {
    step.lastIndex = position
    const match = step.exec(text)
    if (!match) return undefined
    parts.push(match[1] === undefined ? match[2]! : match[1].replace(/\\(.)/g, '$1'))
    position = step.lastIndex
    if (match[3] === '') return position === text.length ? parts : undefined
    if (position === text.length) return undefined
  }
  return parts
}

// References are for files: a shell has expanded what it wants by the time --set is read, so a dollar stays a dollar.
function readOverrideValue(text: string, origin: Origin, problems: Problem[]): Tree | undefined {
  const isStructured = /^\s*[[{]/.test(text)
  if (!isStructured)
    return { kind: 'scalar', value: text.trim(), source: text.trim(), isUntyped: true, origin }
  const found: Problem[] = []
  const tree = readYaml(text.replaceAll('$', '$$$$'), origin.file, {}, found)
  for (const problem of found) problems.push({ ...problem, line: 0, column: 0 })
  return tree && withOrigin(tree, origin)
}

function withOrigin(node: Tree, origin: Origin): Tree {
  if (node.kind === 'scalar') return { ...node, origin }
  if (node.kind === 'list')
    return { ...node, items: node.items.map((item) => withOrigin(item, origin)), origin }
  const entries = [...node.entries].map(
    ([key, entry]) => [key, { keyOrigin: origin, value: withOrigin(entry.value, origin) }] as const,
  )
  return { kind: 'map', entries: new Map(entries), origin }
}
