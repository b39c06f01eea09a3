import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createSpanVerifier } from '../../../src/admin/span-verifier.ts'
import type { VerifyingKey } from '../../../src/evidence/check.ts'
import { oneSpan } from '../service/one-span.ts'
import { startSidecar } from '../service/sidecar.ts'

/** Which ids a verifier that knows this key alone, or none, asks the key service for, of a span that was signed so. */
async function askedFor(algorithm: string, known?: VerifyingKey): Promise<readonly string[]> {
  const sidecar = await startSidecar([
    'processors.signing.select=all',
    `processors.signing.algorithm=${algorithm}`,
  ])
  onTestFinished(() => sidecar.remove())
  expect((await sidecar.post('/v1/traces', oneSpan('GET'), 'application/json')).status).toBe(200)
  await sidecar.stop()
  const asked: string[] = []
  const verify = createSpanVerifier({
    keys: () => known,
    macKeys: {
      load: async (ids) => {
        asked.push(...ids)
        return new Map()
      },
    },
    expected: undefined,
    coverage: undefined,
  })
  const signed = readFileSync(join(sidecar.folder, 'out.jsonl'))
  const answer = await verify(signed, new AbortController().signal)
  expect(answer).toMatchObject({ spans: [{ verdict: known === undefined ? 'unknown_key' : 'bad_proof' }] })
  return asked
}

test('a public key that is not known is no question for the key service, which may be down', async () => {
  expect(await askedFor('ed25519-merkle-v1')).toEqual([])
})

test('a secret that is not at hand is, also where a public key of the same id is trusted', async () => {
  const { publicKey } = generateKeyPairSync('ed25519')
  const known = { algorithm: 'ed25519-merkle-v1', key: publicKey } as const
  expect(await askedFor('hmac-sha256', known)).toHaveLength(1)
  expect(await askedFor('hmac-sha256')).toEqual([expect.stringMatching(/^[\w-]{22}$/)])
})
