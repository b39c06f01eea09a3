import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { makeDirectory } from '../../../src/base/directory.ts'

function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'betrace-directory-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('makes what is missing for the owner alone, and leaves what is there', async () => {
  const folder = testFolder()
  mkdirSync(join(folder, 'mine'), { mode: 0o755 })
  const wanted = join(folder, 'mine/a/b')
  await Promise.all([makeDirectory(wanted), makeDirectory(wanted)])
  await makeDirectory(wanted)
  expect(statSync(wanted).mode & 0o777).toBe(0o700)
  expect(statSync(join(folder, 'mine/a')).mode & 0o777).toBe(0o700)
  expect(statSync(join(folder, 'mine')).mode & 0o777).toBe(0o755)
})

test('rejects where a file stands', async () => {
  const file = join(testFolder(), 'file')
  writeFileSync(file, '', { mode: 0o700 })
  await expect(makeDirectory(file)).rejects.toMatchObject({ code: 'ENOTDIR' })
  await expect(makeDirectory(join(file, 'below'))).rejects.toMatchObject({ code: 'ENOTDIR' })
})

test.runIf(existsSync('/proc/self'))(
  'rejects at once where the parent takes no folder (needs /proc)',
  async () => {
    await expect(makeDirectory('/proc/none/below')).rejects.toMatchObject({ code: 'ENOENT' })
  },
)
