// YAML text to a tree with places, by way of the parser's own nodes. Aliases are allowed but bounded: ten short lines
// of nested aliases otherwise become gigabytes.
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
} from 'yaml'
import { type Environment, expandEnvironment } from './environment.ts'
import { type Entry, type Origin, type Problem, problemAt, type ScalarNode, type Tree } from './tree.ts'

/** Largest configuration file, characters. */
export const CONFIG_CHARS_MAX = 4 * 1024 * 1024
const NODES_MAX = 100_000
const DEPTH_MAX = 64

interface Reading {
  readonly document: Document
  readonly lines: LineCounter
  readonly file: string
  readonly env: Environment
  readonly problems: Problem[]
  nodeCount: number
  isTooLarge: boolean
}

/** The tree of one YAML text, its environment references expanded. Problems go to `problems`; `undefined`: no content. */
export function readYaml(
  text: string,
  file: string,
  env: Environment,
  problems: Problem[],
): Tree | undefined {
  if (text.length > CONFIG_CHARS_MAX) {
    problems.push(problemAt('', { file, line: 0, column: 0 }, 'is larger than any configuration may be'))
    return undefined
  }
  const lines = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    strict: true,
    uniqueKeys: true,
  })
  // One mistake confuses the parser for the rest of its line; the first error is the one to mend.
  const error = document.errors[0]
  if (error) {
    const { line, col } = lines.linePos(error.pos[0])
    const hint = text.split('\n')[line - 1]?.includes('${')
      ? `; inside { } or [ ] a \${…} must stand in quotes`
      : ''
    problems.push(
      problemAt('', { file, line, column: col }, `is not valid YAML: ${yamlMistake(error.code)}${hint}`),
    )
  }
  if (document.errors.length > 0 || document.contents === null) return undefined
  return convert(
    { document, lines, file, env, problems, nodeCount: 0, isTooLarge: false },
    document.contents,
    '',
    0,
  )
}

function convert(reading: Reading, node: Node | null, path: string, depth: number, holder?: Origin): Tree {
  const origin = holder && !node ? holder : originOf(reading, node)
  if (reading.isTooLarge) return emptyScalar(origin)
  if (++reading.nodeCount > NODES_MAX || depth > DEPTH_MAX) {
    reading.isTooLarge = true
    reading.problems.push(problemAt(path, origin, 'is nested too deeply, or its aliases expand too far'))
    return emptyScalar(origin)
  }
  if (isAlias(node)) return convert(reading, resolveAlias(reading, node), path, depth + 1, origin)
  if (isMap(node)) return convertMap(reading, node.items, path, depth, origin)
  if (isSeq(node)) {
    const items = node.items.map((item, index) =>
      convert(reading, item as Node | null, `${path}[${index}]`, depth + 1),
    )
    return { kind: 'list', items, origin }
  }
  if (isScalar(node))
    return convertScalar(reading, node.value, node.source, node.type === 'PLAIN', path, origin)
  return emptyScalar(origin)
}

function convertMap(
  reading: Reading,
  pairs: readonly { key: unknown; value: unknown }[],
  path: string,
  depth: number,
  origin: Origin,
): Tree {
  const entries = new Map<string, Entry>()
  for (const pair of pairs) {
    if (!isScalar(pair.key)) {
      reading.problems.push(problemAt(path, origin, 'has a key that is not plain text'))
      continue
    }
    const key = pair.key.source ?? String(pair.key.value)
    const keyOrigin = originOf(reading, pair.key)
    const childPath = joinPath(path, key)
    // A pair from parseDocument holds a node or nothing.
    entries.set(key, {
      keyOrigin,
      value: convert(reading, pair.value as Node | null, childPath, depth + 1, keyOrigin),
    })
  }
  return { kind: 'map', entries, origin }
}

function convertScalar(
  reading: Reading,
  value: unknown,
  source: string | undefined,
  isPlain: boolean,
  path: string,
  origin: Origin,
): ScalarNode {
  if (typeof value !== 'string') {
    const known = typeof value === 'number' || typeof value === 'boolean' ? value : null
    return { kind: 'scalar', value: known, source: source ?? String(value), isUntyped: false, origin }
  }
  const expansion = expandEnvironment(value, reading.env)
  for (const message of expansion.problems) reading.problems.push(problemAt(path, origin, message))
  const isUntyped = expansion.hasReference && isPlain
  return { kind: 'scalar', value: expansion.text, source: expansion.text, isUntyped, origin }
}

/** `a.b`; a key that itself holds a dot is quoted, in the form that `--set` reads back. */
export function joinPath(parent: string, key: string | number): string {
  if (typeof key === 'number') return `${parent}[${key}]`
  const step = /[.="[\]\s]/.test(key) || key === '' ? JSON.stringify(key) : key
  return parent === '' ? step : `${parent}.${step}`
}

function resolveAlias(reading: Reading, alias: Alias): Node | null {
  return alias.resolve(reading.document) ?? null
}

function originOf(reading: Reading, node: Node | null): Origin {
  const offset = node?.range?.[0]
  if (offset === undefined) return { file: reading.file, line: 0, column: 0 }
  const { line, col } = reading.lines.linePos(offset)
  return { file: reading.file, line, column: col }
}

function emptyScalar(origin: Origin): ScalarNode {
  return { kind: 'scalar', value: null, source: '', isUntyped: false, origin }
}

// The parser's own messages quote the text around a mistake, which may be a secret; its codes do not.
function yamlMistake(code: string): string {
  return code.toLowerCase().replaceAll('_', ' ')
}
