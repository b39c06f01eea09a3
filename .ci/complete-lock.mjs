// Run after `npm install` has written package-lock.json on a registry that mirrors only some platforms: npm leaves out
// optional packages that it could not look up, and then refuses `npm ci` everywhere because they are missing. What is
// missing is added as npm writes it; the names say for which platform each is. An entry without its integrity would let
// `npm ci` on that platform install whatever it is given, so the registry is asked for each.
import { execFileSync } from 'node:child_process'
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
for (const [path, { version, integrity, link, ...rest }] of Object.entries(packages)) {
  if (integrity || link || !path.includes('node_modules/')) continue
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
  const found = execFileSync('npm', ['view', `${name}@${version}`, 'dist.integrity'], { encoding: 'utf8' }).trim()
  if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(found)) throw new Error(`no integrity of ${name} ${version}`)
  packages[path] = { version, integrity: found, ...rest }
  console.log(`integrity of ${name} ${version}`)
}
lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => (a === b ? 0 : a < b ? -1 : 1)))
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
