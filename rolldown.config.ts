// What is published: the sidecar with every package that a start loads, in a handful of files, since finding and reading
// 1,000 small ones takes longer than all else a start does (docs/decisions/bundle.md). What is native, large or rarely
// loaded stays a dependency of its own.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig, type Plugin } from 'rolldown'
import manifest from './package.json' with { type: 'json' }

/** What packages would load for features that nothing here uses: JSON schemas of routes, channelz. A third of the bytes. */
const UNUSED = ['@fastify/ajv-compiler', '@fastify/fast-json-stringify-compiler', '@grpc/proto-loader']
const OUTSIDE = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies), ...UNUSED]

export default defineConfig({
  input: { main: 'src/main.ts', index: 'src/index.ts' },
  platform: 'node',
  external: (id) => OUTSIDE.some((name) => id === name || id.startsWith(`${name}/`)),
  // Readable, so that a stack trace and a reviewer find their way; smaller code starts no faster.
  output: { dir: 'dist', format: 'esm', minify: false },
  plugins: [thirdParty()],
})

/** Which packages are inside, in which version, under which licence: for lawyers, and for scanners of known faults. */
function thirdParty(): Plugin {
  return {
    name: 'third-party',
    generateBundle(_options, bundle) {
      const folders = new Set<string>()
      for (const file of Object.values(bundle)) {
        if (file.type !== 'chunk') continue
        for (const id of file.moduleIds) {
          const found = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)
          if (found) folders.add(found[0])
        }
      }
      const source = [...folders]
        .map(describe)
        .sort()
        .join(`\n${'-'.repeat(80)}\n`)
      this.emitFile({ type: 'asset', fileName: 'THIRD-PARTY.txt', source })
    },
  }
}

function describe(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry))
  const text = file && existsSync(join(folder, file)) ? readFileSync(join(folder, file), 'utf8').trim() : ''
  return `${name} ${version} (${license})\n\n${text}\n`
}
