// Key files as every verifier of ours takes them: evidence reads the list, keys judges who vouches for each key of it.
import type { KeyLookup } from '../evidence/check.ts'
import { keysFromJson as readKeys } from '../evidence/key-file.ts'
import { judgeEndorsements } from '../keys/endorsement.ts'

/** A lookup over the parsed JSON of one or more key files. Throws USAGE with what is wrong, without its value. */
export function keysFromJson(documents: readonly unknown[]): KeyLookup {
  return readKeys(documents, judgeEndorsements)
}
