import { readFileSync } from 'node:fs'

/** The version in package.json, which stands one folder up from the sources as from the bundle in dist/. */
export const VERSION = readVersion()

function readVersion(): string {
  // Our own file, which npm does not publish without a version.
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
