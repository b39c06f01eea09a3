// A large request in a process that has little memory beyond it: a heap limit far below its JSON, and a memory cgroup
// where one can be made.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { testFolder } from './folder.ts'
import { memoryCgroup } from './memory-cgroup.ts'

const CHILD = join(import.meta.dirname, 'memory-child.ts')
const REQUEST_MIB = 40
/** Buffers, code that is compiled meanwhile and garbage; JSON of the request alone would be more than twice of it. */
const GROWTH_MIB_MAX = 32
/** The process itself, the request, and the growth. */
const CGROUP_MIB = 90 + REQUEST_MIB + GROWTH_MIB_MAX

test.skipIf(process.platform !== 'linux').each(['file', 'letter', 'normal', 'detailed'])(
  'a request of 40 MiB by %s takes no second copy of it (Linux: reads /proc)',
  (how) => {
    const group = memoryCgroup(CGROUP_MIB)
    if (group) onTestFinished(() => group.remove())
    else console.info('the heap limit alone holds')
    const run = [
      '--max-old-space-size=32',
      '--max-semi-space-size=4',
      CHILD,
      how,
      testFolder(),
      String(REQUEST_MIB),
    ]
    const enter = group ? `echo $$ > ${group.procs}; ` : ''
    const { status, signal, stdout, stderr } = spawnSync(
      'sh',
      ['-c', `${enter}exec "$0" "$@"`, process.execPath, ...run],
      {
        encoding: 'utf8',
      },
    )
    expect({ status, signal }, stderr.slice(-2_000)).toEqual({ status: 0, signal: null })
    console.info(`${how}: ${Math.round(Number(stdout) / 1024)} MiB above ${REQUEST_MIB}`)
    expect(Number(stdout) / 1024).toBeLessThan(GROWTH_MIB_MAX)
  },
  120_000,
)
