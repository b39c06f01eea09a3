// Pages name files and link to each other; a move that forgets a page is found here.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const PAGES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'bench/README.md']
const pages = [...PAGES, ...globSync(['docs/**/*.md', 'proto/*.md', 'deploy/**/*.md'], { cwd: root })]
// A page of an earlier system, which corrections.md sets right; and what the bench writes.
const NOT_IN_THE_TREE = ['docs/prds/006-kms-integration.md', 'bench/out/*.json']
const TREES = ['src', 'test', 'docs', 'proto', 'bench', 'deploy', '.ci']

/** `a/{b,c}.ts` → `a/b.ts`, `a/c.ts`. */
function expanded(path: string): string[] {
  const braces = /^(.*)\{([^}]*)\}(.*)$/.exec(path)
  return braces ? braces[2]!.split(',').map((part) => `${braces[1]}${part}${braces[3]}`) : [path]
}

test.each(pages)('%s names files that exist', (page) => {
  const text = readFileSync(join(root, page), 'utf8')
  const named = [...text.matchAll(/`([\w.-]+\/[\w.{},*/-]*)`/g)].map((match) => match[1]!)
  const ours = named
    .filter((path) => TREES.includes(path.split('/')[0]!) && !NOT_IN_THE_TREE.includes(path))
    .flatMap(expanded)
  const missing = ours.filter((path) =>
    path.includes('*') ? globSync(path, { cwd: root }).length === 0 : !existsSync(join(root, path)),
  )
  expect(missing).toEqual([])
})

test.each(pages)('%s links to pages that exist', (page) => {
  const text = readFileSync(join(root, page), 'utf8')
  const links = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1]!)
  const missing = links.filter(
    (link) => !/^[a-z]+:/.test(link) && !existsSync(join(root, dirname(page), link)),
  )
  expect(missing).toEqual([])
})
