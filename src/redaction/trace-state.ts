// Trace state is a list of `key=value` members (W3C Trace Context §3.3) that every hop must be able to parse. So a match
// changes the whole value of its member; one that touches a member's key takes the member away.
import { type Place, ValueType } from '../wire/otlp.ts'
import type { AttributeKeyPath } from './attribute-key-path.ts'
import type { Editor } from './editor.ts'
import { Effect, type Outcome } from './outcome.ts'
import type { Parts } from './parts.ts'

const COMMA = 0x2c
const EQUALS = 0x3d

/** Edits the list [start, end): with `whole` every member's value, otherwise those that a part touches. */
export function editTraceState(
  editor: Editor,
  place: Place,
  buf: Uint8Array,
  start: number,
  end: number,
  parts: Parts,
  whole: Outcome | undefined,
  path: AttributeKeyPath,
): void {
  let done = start
  for (let i = 0; whole === undefined && i < parts.count; i++) {
    for (let at = Math.max(done, parts.start(i)); at < parts.end(i); at = done) {
      memberAt(buf, start, end, at)
      done = member.end + 1
      editMember(editor, place, parts.outcome(i), at < member.valueStart, path)
    }
  }
  while (whole !== undefined && done < end) {
    memberAt(buf, start, end, done)
    done = member.end + 1
    editMember(editor, place, whole, false, path)
  }
}

function editMember(
  editor: Editor,
  place: Place,
  outcome: Outcome,
  isKeyTouched: boolean,
  path: AttributeKeyPath,
): void {
  const { start, valueStart, end } = member
  if (outcome.effect === Effect.KEEP) return
  if (isKeyTouched || outcome.effect === Effect.DROP) {
    // An empty member is allowed, and a value without characters is not.
    editor.edits.remove(start, end)
    editor.count(outcome.rule, Effect.DROP, 1)
  } else if (valueStart < end) editor.part(place, ValueType.STRING, outcome, valueStart, end, path)
}

/** A member of a list, overwritten by the next `memberAt`. */
const member = { start: 0, valueStart: 0, end: 0 }

/** Reads the member that `at` is in. `valueStart` is `end` when it has no `=`. */
function memberAt(buf: Uint8Array, start: number, end: number, at: number): void {
  let first = at
  while (first > start && buf[first - 1] !== COMMA) first--
  let last = at
  while (last < end && buf[last] !== COMMA) last++
  let equals = first
  while (equals < last && buf[equals] !== EQUALS) equals++
  member.start = first
  member.valueStart = Math.min(last, equals + 1)
  member.end = last
}
