// Wycheproof's vectors through our own code, read from the Go module that publishes them. Each Node we allow and the
// second implementation judge them, and all judge alike.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { install, missingToolchain } from './tools.ts'
import type { Judgement } from './wycheproof/judge.ts'

const folder = join(import.meta.dirname, 'wycheproof')
const call = promisify(execFile)

/** Cases of the pinned module, and how many of them our code can be asked: AES-256-GCM with nonces of 96 bits. */
const EXPECTED: Readonly<Record<string, { readonly cases: number; readonly asked: number }>> = {
  'aes_gcm_test.json': { cases: 316, asked: 66 },
  'hkdf_sha256_test.json': { cases: 86, asked: 86 },
  'hmac_sha256_test.json': { cases: 174, asked: 174 },
  'ed25519_test.json': { cases: 151, asked: 151 },
}

type Judged = Readonly<Record<string, Judgement>>

describe.skipIf(missingToolchain('wycheproof') !== undefined)('Wycheproof', () => {
  let vectors = ''
  let judged: Judged = {}
  const judgedBy = async (node: string): Promise<Judged> => {
    const { stdout } = await call(node, ['--no-warnings', join(folder, 'judge.ts'), vectors])
    return JSON.parse(stdout) as Judged // our own script's
  }

  beforeAll(async () => {
    vectors = (await install('wycheproof')).command
    judged = await judgedBy(process.execPath)
  })

  test.each(Object.entries(EXPECTED))(
    '%s: every case that can be asked is judged right',
    (file, expected) => {
      const { cases, wrong, accepted, notExpressible } = judged[file]!
      const left = Object.values(notExpressible).reduce((sum, count) => sum + count, 0)
      console.info(`${file}: ${cases - left} of ${cases} cases asked, ${accepted.length} accepted`)
      for (const [reason, count] of Object.entries(notExpressible)) console.info(`  ${count} not: ${reason}`)
      expect(wrong).toEqual([])
      expect({ cases, asked: cases - left }).toEqual(expected)
    },
  )

  test.skipIf(missingToolchain('node22') !== undefined)('Node 22 judges as this Node does', async () => {
    const { command } = await install('node22')
    const { stdout } = await call(command, ['--version'])
    console.info(`this is Node ${process.version}, the other ${stdout.trim()}`)
    expect(stdout).toMatch(/^v22\./)
    expect(await judgedBy(command)).toEqual(judged)
  })

  test.skipIf(missingToolchain('python') !== undefined)('Ed25519 in Python is judged as here', async () => {
    const { command } = await install('python')
    const { stdout } = await call(command, [
      join(folder, 'judge_ed25519.py'),
      join(vectors, 'ed25519_test.json'),
    ])
    expect(JSON.parse(stdout)).toEqual(judged['ed25519_test.json']!.accepted)
  })
})
