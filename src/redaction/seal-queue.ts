// Values that wait to be sealed, so that each tenant's go through one call.

import type { Sealer, SealItem } from '../formats/sealed-value.ts'
import type { Edits } from '../wire/edits.ts'
import { writeVarint } from '../wire/write.ts'

/** Where a token goes: instead of a part of a text, or as the string of an AnyValue. */
interface Batch {
  readonly marks: number[]
  readonly isValue: boolean[]
  readonly items: SealItem[]
}

const STRING_TAG = 0x0a

export class SealQueue {
  readonly #batches = new Map<Sealer, Batch>()
  #scratch = Buffer.allocUnsafeSlow(4096)

  clear(): void {
    this.#batches.clear()
  }

  /** The token of `item` will fill `mark`; with `isValue` as the content of an AnyValue. */
  add(sealer: Sealer, mark: number, isValue: boolean, item: SealItem): void {
    let batch = this.#batches.get(sealer)
    if (batch === undefined) {
      batch = { marks: [], isValue: [], items: [] }
      this.#batches.set(sealer, batch)
    }
    batch.marks.push(mark)
    batch.isValue.push(isValue)
    batch.items.push(item)
  }

  fill(edits: Edits): void {
    for (const [sealer, batch] of this.#batches) {
      const tokens = sealer.sealAll(batch.items)
      for (let i = 0; i < tokens.length; i++) {
        const size = this.#write(tokens[i], batch.isValue[i])
        edits.fillFrom(batch.marks[i], this.#scratch, 0, size)
      }
    }
  }

  #write(token: string, isValue: boolean): number {
    if (token.length + 16 > this.#scratch.length)
      this.#scratch = Buffer.allocUnsafeSlow((token.length + 16) * 2)
    let at = 0
    if (isValue) {
      this.#scratch[at++] = STRING_TAG
      at = writeVarint(this.#scratch, at, token.length)
    }
    return at + this.#scratch.write(token, at, 'latin1') // tokens are ASCII
  }
}
