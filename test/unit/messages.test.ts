// A message that says "no such" leaves the reader to guess what was looked for: it names the thing, or the setting does.
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../../src')
/** Said behind the name of the file. */
const AFTER_A_NAME = ["'no such file'", "'there is no such file'"]

test('no message says "no such" of what it does not name', () => {
  const found = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .flatMap((path) =>
      readFileSync(join(root, path), 'utf8')
        .split('\n')
        .filter((line) => !/^\s*(?:\/\/|\/?\*)/.test(line))
        .flatMap((line) => [...line.matchAll(/'[^']*'|`[^`]*`/g)].map(([text]) => text))
        .filter((text) => /\bno such\b/.test(text) && !AFTER_A_NAME.includes(text))
        .map((text) => `${path}: ${text}`),
    )
  expect(found).toEqual([])
})
