// Keys of lists, as every verifier of ours looks them up: by tenant and id, each with who vouches for it. A list says no more
// than whoever wrote it; what makes one worth something is a key in it that the reader came to trust by other means.
import { SidecarError } from '../base/errors.ts'
import { ed25519PublicKey } from '../formats/ed25519.ts'
import { type EndorsedKey, type EndorsementVerdict, judgeEndorsements } from '../formats/endorsement.ts'
import { type KeyList, mergeKeyLists, readKeyLists } from '../formats/key-list.ts'
import type { KeyLookup, VerifyingKey } from './check.ts'

/** What the reader trusts: keys by id, and all good keys of whole lists. */
export interface Pins {
  readonly keyIds?: readonly string[]
  /** Parsed JSON of key files; they count as lists too. */
  readonly documents?: readonly unknown[]
}

/** A lookup over the parsed JSON of key files. Throws USAGE with what is wrong, without its value. */
export function keysFromJson(documents: readonly unknown[], pins: Pins = {}): KeyLookup {
  const pinned = (pins.documents ?? []).flatMap(readKeyLists)
  return listedKeys([...documents.flatMap(readKeyLists), ...pinned], pinned, pins.keyIds)
}

/** As `keysFromJson`, of lists that are read. */
export function listedKeys(
  lists: readonly KeyList[],
  pinned: readonly KeyList[] = [],
  pinnedIds: readonly string[] = [],
): KeyLookup {
  const all = mergeKeyLists(lists)
  const pinnedKeys = mergeKeyLists(pinned)
  for (const id of pinnedIds) {
    const tenants = [...all.values()].filter((keys) => keys.has(id))
    if (tenants.length === 0) throw new SidecarError('USAGE', 'a trusted key is in no list that was given')
    if (tenants.length > 1)
      throw new SidecarError('USAGE', 'a trusted key is listed for several tenants: trust it by its file')
  }
  const rings = new Map<string, KeyRing>()
  return (keyId, tenant, algorithm) => {
    if (algorithm !== 'ed25519-merkle-v1' || tenant === undefined) return undefined
    let ring = rings.get(tenant)
    const keys = all.get(tenant)
    if (ring === undefined && keys !== undefined) {
      ring = new KeyRing(tenant, keys, new Set([...pinnedIds, ...goodKeys(tenant, pinnedKeys.get(tenant))]))
      rings.set(tenant, ring)
    }
    return ring?.get(keyId)
  }
}

/** Those of a trusted list that it does not itself call bad: the others would not be trusted by being in it. */
function goodKeys(tenant: string, keys: ReadonlyMap<string, EndorsedKey> | undefined): string[] {
  if (keys === undefined) return []
  const verdicts = judgeEndorsements(tenant, [...keys.values()])
  return [...verdicts].filter(([, verdict]) => GOOD.has(verdict)).map(([keyId]) => keyId)
}

const GOOD: ReadonlySet<EndorsementVerdict> = new Set(['first', 'endorsed', 'endorser_unknown'])

/** The keys of one tenant. Judged together, when the first of them is asked for. */
class KeyRing {
  readonly #keys: ReadonlyMap<string, EndorsedKey>
  readonly #pinned: ReadonlySet<string>
  readonly #verdicts: ReadonlyMap<string, EndorsementVerdict>
  readonly #roots = new Map<string, string>()
  readonly #found = new Map<string, VerifyingKey>()

  constructor(tenant: string, keys: ReadonlyMap<string, EndorsedKey>, pinned: ReadonlySet<string>) {
    this.#pinned = pinned
    // A pinned key needs nobody to vouch for it.
    this.#keys = new Map(
      [...keys].map(([keyId, key]) => [
        keyId,
        pinned.has(keyId) ? { ...key, endorsedBy: '', endorsement: new Uint8Array(0) } : key,
      ]),
    )
    this.#verdicts = judgeEndorsements(tenant, [...this.#keys.values()])
  }

  get(keyId: string): VerifyingKey | undefined {
    const known = this.#found.get(keyId)
    if (known !== undefined) return known
    const key = this.#keys.get(keyId)
    if (key === undefined) return undefined
    const endorsement = this.#verdicts.get(keyId) ?? 'bad'
    const rootKeyId = endorsement === 'endorsed' ? this.#rootOf(key) : keyId
    const found: VerifyingKey = {
      algorithm: 'ed25519-merkle-v1',
      key: ed25519PublicKey(key.publicKey),
      isRevoked: key.status === 'REVOKED',
      notAfterMs: key.notAfterMs,
      endorsement,
      rootKeyId,
      isPinned: this.#pinned.has(rootKeyId),
    }
    this.#found.set(keyId, found)
    return found
  }

  /** Of an endorsed key: its chain ends, and in a first one. */
  #rootOf(key: EndorsedKey): string {
    const path = [key.keyId]
    let root: string | undefined
    for (let at = key; root === undefined; ) {
      if (at.endorsedBy === '') root = at.keyId
      else {
        at = this.#keys.get(at.endorsedBy)!
        path.push(at.keyId)
        root = this.#roots.get(at.keyId)
      }
    }
    for (const keyId of path) this.#roots.set(keyId, root)
    return root
  }
}
