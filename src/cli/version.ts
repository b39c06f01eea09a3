import { readFile } from 'node:fs/promises'

/** The version in package.json, which stands two folders up both in the sources (src/cli) and when built (dist/cli). */
export async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  // Our own file, which npm does not publish without a version.
  return (JSON.parse(text) as { version: string }).version
}
