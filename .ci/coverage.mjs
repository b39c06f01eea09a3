// Runs the unit tests once more with V8's coverage on and prints lines and branches by folder. Exits 1 when there is no
// report. It judges no test: code that is measured is slower, and the plain run has said which tests fail.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

const folder = mkdtempSync(join(tmpdir(), 'coverage-'))
const options = ['provider=v8', 'include=src/**/*.ts', 'reporter=json-summary', 'reportOnFailure=true', `reportsDirectory=${folder}`]
spawnSync('vitest', ['run', ...process.argv.slice(2), '--reporter=dot', '--coverage.enabled', ...options.map((option) => `--coverage.${option}`)], {
  stdio: ['ignore', 'ignore', 'inherit'],
})
const file = join(folder, 'coverage-summary.json')
if (!existsSync(file)) {
  console.error('vitest wrote no coverage report')
  process.exit(1)
}
const { total, ...files } = JSON.parse(readFileSync(file, 'utf8'))
rmSync(folder, { recursive: true })

const rooms = new Map()
for (const [path, { lines, branches }] of Object.entries(files)) {
  const [, room] = relative(process.cwd(), path).split('/')
  const sum = rooms.get(room) ?? { lines: [0, 0], branches: [0, 0] }
  for (const [kind, { covered, total }] of Object.entries({ lines, branches })) {
    sum[kind][0] += covered
    sum[kind][1] += total
  }
  rooms.set(room, sum)
}
const percent = ([covered, all]) => `${((100 * covered) / Math.max(1, all)).toFixed(1)} % of ${all}`.padStart(20)
console.log(`${'src/'.padEnd(14)}${'lines'.padStart(20)}${'branches'.padStart(20)}`)
for (const [room, { lines, branches }] of [...rooms].sort()) console.log(room.padEnd(14) + percent(lines) + percent(branches))
const of = ({ covered, total: all }) => percent([covered, all])
console.log('total'.padEnd(14) + of(total.lines) + of(total.branches))
