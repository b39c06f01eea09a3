// What a signature adds to a span, in bytes, and what making one costs, in both forms.
import { generateKeyPairSync } from 'node:crypto'
import { Evidence, type SigningKey } from '../src/evidence/evidence.ts'
import { signingKeyId } from '../src/formats/endorsement.ts'
import { makeTraces } from './payload.ts'
import { median } from './report.ts'

export interface SignatureResult {
  readonly proof: 'inline' | 'compact'
  readonly spans: number
  readonly bytesPerSpan: number
  readonly usPerSpan: number
}

const SPANS = [1, 32, 512]
const ROUNDS = 15
const ROUND_SPANS = 20_000

/** In this process; every span of the payload is signed. */
export function runSignatureBench(): SignatureResult[] {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const keyId = signingKeyId(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32))
  const keys = new Map<string, SigningKey>([['default', { keyId, privateKey }]])
  return (['inline', 'compact'] as const).flatMap((proof) =>
    SPANS.map((spans) => {
      const evidence = new Evidence(
        { instanceId: 'bench', bootId: new Uint8Array(16).fill(1), policy: { proof, select: 'all' } },
        () => undefined,
      )
      const body = makeTraces({ spans, seed: 1 })
      const sign = (): Uint8Array => evidence.sign(body, ['default'], keys, 1n).body
      const bytesPerSpan = (sign().length - body.length) / spans
      const rounds = Array.from({ length: ROUNDS }, () => {
        const count = Math.ceil(ROUND_SPANS / spans / ROUNDS)
        const startedMs = performance.now()
        for (let i = 0; i < count; i++) sign()
        return ((performance.now() - startedMs) * 1_000) / (count * spans)
      })
      return { proof, spans, bytesPerSpan, usPerSpan: median(rounds) }
    }),
  )
}
