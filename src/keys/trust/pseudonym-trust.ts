import type { Clock } from '../../base/clock.ts'
import type { KeyStore } from '../records/keystore.ts'

const REFRESH_MS = 1_000

/**
 * Whose `tok.v1.…` tokens are left alone: those of our own pseudonym keys, whose records bear the key's id, and those of
 * the keys that the operator names. A forged token of such a key hides at most its 22 characters.
 */
export function createPseudonymTrust(
  store: KeyStore,
  trustedKids: readonly string[],
  clock: Clock,
): (kid: string) => boolean {
  const known = new Set(trustedKids)
  let refreshedAtMs = Number.NEGATIVE_INFINITY
  return (kid) => {
    if (known.has(kid)) return true
    // A key that was made since we last looked; a stream of forged ones must not make us look each time.
    if (clock.monotonicMs() - refreshedAtMs < REFRESH_MS) return false
    refreshedAtMs = clock.monotonicMs()
    for (const { id } of store.list('pseudonym')) known.add(id)
    return known.has(kid)
  }
}
