import assert from 'node:assert'
import { existsSync, readFileSync } from 'node:fs'

/** The version in package.json. */
export const VERSION = readVersion()

function readVersion(): string {
  // One folder up from the bundle in dist/, two from here.
  const file = ['../package.json', '../../package.json']
    .map((path) => new URL(path, import.meta.url))
    .find((url) => existsSync(url))
  assert(file !== undefined, 'npm publishes no package without its package.json')
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
