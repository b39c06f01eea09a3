// What was not taken of a request, or mended in it, although its framing is sound. It says where by the names of the
// schema and by positions, never by what the sender wrote.
import { SidecarError } from '../base/errors.ts'

/** Why an item was rejected; a metric label. */
export const FAULT_REASONS = ['INVALID_ID', 'INVALID_UTF8', 'INVALID_JSON'] as const
export type FaultReason = (typeof FAULT_REASONS)[number]

const PHRASE: Readonly<Record<FaultReason, string>> = {
  INVALID_ID: 'id has the wrong length or form',
  INVALID_UTF8: 'text is no utf-8',
  INVALID_JSON: 'json does not say what the field may hold',
}

/** What makes an item unacceptable, and nothing around it. */
export class ItemFault extends SidecarError {
  readonly reason: FaultReason

  constructor(reason: FaultReason, message: string) {
    super('MALFORMED', message)
    this.reason = reason
  }
}

/** Who knows the place; asked only for the first of a kind. */
interface Where {
  readonly where: string
}

export class Faults {
  /** Spans, log records or data points that are left out. */
  readonly rejected = new Map<FaultReason, number>()
  /** Strings outside of items in which bytes were replaced by U+FFFD. */
  repairedTexts = 0
  /** Unknown fields that were taken away for what was found in them. */
  removedFields = 0
  #rejectedWhere = ''
  #repairedWhere = ''
  #removedWhere = ''

  get rejectedItems(): number {
    let sum = 0
    for (const count of this.rejected.values()) sum += count
    return sum
  }

  get isEmpty(): boolean {
    return this.rejected.size === 0 && this.repairedTexts === 0 && this.removedFields === 0
  }

  /** `phrase` says more where the reason has many forms. */
  reject(reason: FaultReason, where: string, phrase: string = PHRASE[reason]): void {
    if (this.rejected.size === 0) this.#rejectedWhere = `${where}: ${phrase}`
    this.rejected.set(reason, (this.rejected.get(reason) ?? 0) + 1)
  }

  repair(at: Where): void {
    if (this.repairedTexts++ === 0) this.#repairedWhere = at.where
  }

  removeField(at: Where): void {
    if (this.removedFields++ === 0) this.#removedWhere = at.where || 'the request'
  }

  /** Adds what was found later in the same request. */
  add(other: Faults): void {
    if (this.rejected.size === 0) this.#rejectedWhere = other.#rejectedWhere
    if (this.repairedTexts === 0) this.#repairedWhere = other.#repairedWhere
    if (this.removedFields === 0) this.#removedWhere = other.#removedWhere
    for (const [reason, count] of other.rejected)
      this.rejected.set(reason, (this.rejected.get(reason) ?? 0) + count)
    this.repairedTexts += other.repairedTexts
    this.removedFields += other.removedFields
  }

  /** For partial_success and the log: each kind with its count and the place of the first. Empty without faults. */
  get message(): string {
    const parts: string[] = []
    const { rejectedItems, repairedTexts, removedFields } = this
    if (rejectedItems > 0) parts.push(`rejected ${rejectedItems}, first at ${this.#rejectedWhere}`)
    if (repairedTexts > 0)
      parts.push(`repaired text that is no utf-8: ${repairedTexts}, first at ${this.#repairedWhere}`)
    if (removedFields > 0)
      parts.push(
        `removed unknown fields that may hold personal data: ${removedFields}, first in ${this.#removedWhere}`,
      )
    return parts.join('; ')
  }
}
