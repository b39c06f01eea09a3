import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startSidecar } from './sidecar.ts'

const SPAN = JSON.stringify({
  resourceSpans: [
    {
      scopeSpans: [
        {
          spans: [
            {
              traceId: '5b8efff798038103d269b633813fc60c',
              spanId: 'eee19b7ec3c1b174',
              name: 'GET',
              attributes: [{ key: 'user.email', value: { stringValue: 'ann@example.org' } }],
            },
          ],
        },
      ],
    },
  ],
})

test('a folder with key records does not start with a new master key', async () => {
  const first = await startSidecar()
  onTestFinished(() => first.remove())
  expect((await first.post('/v1/traces', SPAN, 'application/json')).status).toBe(200)
  await first.stop()

  const keyFile = join(first.folder, 'data', 'local-kms.key')
  const key = readFileSync(keyFile)
  rmSync(keyFile)
  await expect(startSidecar([], first.folder)).rejects.toMatchObject({
    code: 'CONFIG',
    message: expect.stringContaining('does not exist'),
  })

  writeFileSync(keyFile, key, { mode: 0o600 })
  const again = await startSidecar([], first.folder)
  expect((await again.post('/v1/traces', SPAN, 'application/json')).status).toBe(200)
  await again.stop()
})
