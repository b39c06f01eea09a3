import { azureTarget } from './azure-target.ts'
import { CASES, everyCaseProven, type KmsTarget, kmsConformance } from './conformance.ts'
import { CONTEXT, never } from './expectations.ts'

const COLD = 'the first answer to a client is a challenge, which holds nothing; see the client in use'
const ELSEWHERE = 'shown by the client that is new'

/** Clients that have authenticated and know their key, so that the next answer is one about a key. */
function inUse(target: KmsTarget): KmsTarget {
  const others = Object.keys(CASES).filter((name) => name !== 'half_answer')
  return {
    ...target,
    cannot: Object.fromEntries(others.map((name) => [name, ELSEWHERE])),
    open: async (options) => {
      const kms = await target.open(options)
      await kms.generateDataKey(CONTEXT, never)
      return kms
    },
  }
}

const fresh = azureTarget()
kmsConformance('azure (fake of its REST protocol)', {
  ...fresh,
  cannot: { ...fresh.cannot, half_answer: COLD },
})
kmsConformance('azure (the same, client in use)', inUse(azureTarget()))
everyCaseProven('azure', { sign_ed25519: 'Key Vault has no Ed25519 keys' })
