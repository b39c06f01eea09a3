// What is done with a request that `scanChecked` doubts, or in whose unknown fields something was found. Two walks, each
// with edits of its own: an item that is left out must not be edited inside as well.
import { inOneGo, type Slices } from '../base/turns.ts'
import { Edits } from './edits.ts'
import { type FaultReason, Faults } from './faults.ts'
import { type FieldHandler, FieldWalk } from './field-walk.ts'
import { MESSAGES } from './messages.ts'
import { Frame, type Signal } from './otlp.ts'
import type { MessageName } from './schema.ts'
import { spliceInSlices } from './splice.ts'
import { isUtf8Range, repairedUtf8 } from './utf8.ts'

type IsUnwanted = (wireType: number, buf: Uint8Array, start: number, end: number) => boolean

export interface Cleaned {
  readonly body: Uint8Array
  readonly faults: Faults
}

/**
 * Leaves out the items that hold an id of a wrong length or text that is no UTF-8, and repairs such text where it
 * belongs to no item: resource, scope, metric. For bytes that a scan has accepted.
 */
export const rejectFaultyItems = (buf: Uint8Array, signal: Signal): Cleaned =>
  inOneGo(rejectFaultyItemsInSlices(buf, signal))

/** As `rejectFaultyItems`, for a large request: between two slices others have their turn. */
export function* rejectFaultyItemsInSlices(buf: Uint8Array, signal: Signal): Slices<Cleaned> {
  const edits = new Edits()
  const faults = new Faults()
  let isInItem = false
  let reason: FaultReason | undefined
  let where = ''
  const fault = (found: FaultReason): void => {
    if (reason !== undefined) return
    reason = found
    if (faults.rejected.size === 0) where = walk.where
  }
  const handler: FieldHandler = {
    enter(message) {
      if (!isItem(message)) return
      isInItem = true
      reason = undefined
    },
    leave(message, fieldStart, end) {
      if (!isItem(message)) return
      isInItem = false
      if (reason === undefined) return
      edits.remove(fieldStart, end)
      faults.reject(reason, where)
    },
    text(start, end) {
      if (isUtf8Range(buf, start, end)) return
      if (isInItem) return fault('INVALID_UTF8')
      edits.replace(start, end, repairedUtf8(buf, start, end))
      faults.repair(walk)
    },
    id(length, start, end) {
      if (start !== end && end - start !== length) fault('INVALID_ID')
    },
  }
  const walk = new FieldWalk(buf, edits, handler)
  yield* walk.runInSlices(signal)
  return { body: yield* spliceInSlices(buf, edits), faults }
}

/** Takes away the fields that the schema does not know and `isUnwanted` does not want. For bytes that a scan has accepted. */
export const removeUnknownFields = (buf: Uint8Array, signal: Signal, isUnwanted: IsUnwanted): Cleaned =>
  inOneGo(removeUnknownFieldsInSlices(buf, signal, isUnwanted))

/** As `removeUnknownFields`, for a large request. */
export function* removeUnknownFieldsInSlices(
  buf: Uint8Array,
  signal: Signal,
  isUnwanted: IsUnwanted,
): Slices<Cleaned> {
  const edits = new Edits()
  const faults = new Faults()
  const walk = new FieldWalk(buf, edits, {
    unknown(wireType, fieldStart, start, end) {
      if (!isUnwanted(wireType, buf, start, end)) return
      edits.remove(fieldStart, end)
      faults.removeField(walk)
    },
  })
  yield* walk.runInSlices(signal)
  return { body: yield* spliceInSlices(buf, edits), faults }
}

function isItem(message: MessageName): boolean {
  return MESSAGES[message].frame === Frame.ITEM
}
