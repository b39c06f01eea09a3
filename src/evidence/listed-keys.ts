// Key files as every verifier of ours takes them: evidence reads the list, keys judges who vouches for each key of it.

import { judgeEndorsements } from '../formats/endorsement.ts'
import type { KeyLookup } from './check.ts'
import { keysFromJson as readKeys } from './key-file.ts'

/** A lookup over the parsed JSON of one or more key files. Throws USAGE with what is wrong, without its value. */
export function keysFromJson(documents: readonly unknown[]): KeyLookup {
  return readKeys(documents, judgeEndorsements)
}
