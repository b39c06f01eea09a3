// Adds up what the runners themselves reported and prints the closing line. Exits 1 when anything failed, when a
// report that should be there is missing, or when nothing ran.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = process.argv[2]
let passed = 0
let failed = 0
let skipped = 0

const stepsFile = join(folder, 'steps.jsonl')
const steps = existsSync(stepsFile) ? readFileSync(stepsFile, 'utf8').trim().split('\n').map((line) => JSON.parse(line)) : []
const reports = new Map([['unit tests', 'unit.json'], ['slow tests', 'slow.json'], ['interop tests', 'interop.json']])

console.log('')
for (const { name, code } of steps) {
  const report = reports.get(name)
  if (report === undefined || !existsSync(join(folder, report))) {
    code === 0 && report === undefined ? passed++ : failed++
    console.log(`${code === 0 ? 'ok    ' : 'FAILED'} ${name}${report === undefined ? '' : ' (no report)'}`)
    continue
  }
  const result = JSON.parse(readFileSync(join(folder, report), 'utf8'))
  passed += result.numPassedTests
  failed += result.numFailedTests
  skipped += result.numPendingTests + result.numTodoTests
  // A file that cannot be loaded fails no test of its own, and a runner may fail after its tests: both must show.
  const brokenFiles = result.testResults.filter((file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'))
  failed += brokenFiles.length
  if (code !== 0 && result.numFailedTests + brokenFiles.length === 0) failed++
  console.log(`${code === 0 ? 'ok    ' : 'FAILED'} ${name}: ${result.numPassedTests} passed, ${result.numFailedTests + brokenFiles.length} failed`)
  for (const file of result.testResults)
    for (const test of file.assertionResults) if (test.status === 'failed') console.log(`       ${file.name}: ${test.fullName}`)
}
if (skipped > 0) console.log(`${skipped} skipped; each printed its reason above`)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 && steps.every((step) => step.code === 0) ? 0 : 1)
