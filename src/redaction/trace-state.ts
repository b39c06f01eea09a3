// Trace state is a list of `key=value` members (W3C Trace Context §3.3) that every hop must be able to parse. So a match
// changes the whole value of its member; one that touches a member's key takes the member away.

const COMMA = 0x2c
const EQUALS = 0x3d

/** A member of a list, overwritten by the next `memberAt`. */
export const member = { start: 0, valueStart: 0, end: 0 }

/** Reads the member of the list [start, end) that `at` is in. `valueStart` is `end` when it has no `=`. */
export function memberAt(buf: Uint8Array, start: number, end: number, at: number): void {
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
