// Run after `npm install` has written package-lock.json on a registry that mirrors only some platforms: npm leaves out
// optional packages that it could not look up, and then refuses `npm ci` everywhere because they are missing. What is
// missing is added as npm writes it; the names say for which platform each is.
import { readFileSync, writeFileSync } from 'node:fs'

const file = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(file, 'utf8'))
const { packages } = lock

for (const [path, entry] of Object.entries(packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const hoisted = `node_modules/${name}`
    if (packages[hoisted] || packages[`${path}/node_modules/${name}`]) continue
    const [, os] = /(darwin|linux|win32|android|freebsd|openbsd)/.exec(name) ?? []
    const [, cpu] = /(arm64|x64|ia32|arm)/.exec(name) ?? []
    if (!os || !cpu) throw new Error(`cannot tell the platform of ${name}`)
    const libc = name.endsWith('-musl') ? ['musl'] : undefined
    const isDev = entry.dev || entry.devOptional || path.startsWith('test/')
    packages[hoisted] = { version, cpu: [cpu], ...(isDev && { dev: true }), ...(libc && { libc }), optional: true, os: [os] }
    console.log(`added ${name} ${version}`)
  }
}
lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => (a === b ? 0 : a < b ? -1 : 1)))
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
