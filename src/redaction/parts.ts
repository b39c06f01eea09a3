// Overlapping matches become parts that do not overlap. The earlier rule has its match whole, of one rule's matches the
// longer; what is left of the others is theirs. So no byte that a detector found stays, whoever wins.
import type { Matches } from '../detection/engine/matches.ts'
import { Effect, type Outcome } from './outcome.ts'
import { outcomeOf, type Profile } from './profile.ts'

/** Matches that overlap in a chain beyond this become one part, so that the work stays linear. */
const CLUSTER_MAX = 32
/** Above this, indices are sorted by the library. */
const INSERTION_SORT_MAX = 16
const MATCH_INDEX_LIMIT = 2 ** 17

interface Part {
  start: number
  end: number
  outcome: Outcome
}

/** The parts of one value, in order. Used again for every value. */
export class Parts {
  count = 0
  #parts: Part[] = []
  #order: number[] = []

  start(index: number): number {
    return this.#parts[index].start
  }

  end(index: number): number {
    return this.#parts[index].end
  }

  outcome(index: number): Outcome {
    return this.#parts[index].outcome
  }

  /** Whether the parts leave nothing of [start, end). */
  cover(start: number, end: number): boolean {
    let at = start
    for (let i = 0; i < this.count; i++) {
      if (this.#parts[i].start > at) return false
      at = this.#parts[i].end
    }
    return at >= end
  }

  resolve(matches: Matches, profile: Profile): void {
    this.count = 0
    if (matches.count === 1) {
      this.#add(matches.start(0), matches.end(0), outcomeOf(profile, matches.source(0)))
      return
    }
    this.#sort(matches)
    let first = 0
    while (first < matches.count) {
      let end = matches.end(this.#order[first])
      let next = first + 1
      while (next < matches.count && matches.start(this.#order[next]) < end) {
        end = Math.max(end, matches.end(this.#order[next++]))
      }
      this.#cluster(matches, profile, first, next, end)
      first = next
    }
  }

  /** Forgets the outcomes of a large value. */
  release(): void {
    this.count = 0
    if (this.#parts.length > 1024) this.#parts = []
    if (this.#order.length > 1024) this.#order = []
  }

  #add(start: number, end: number, outcome: Outcome): void {
    const part = this.#parts[this.count]
    if (part === undefined) this.#parts.push({ start, end, outcome })
    else {
      part.start = start
      part.end = end
      part.outcome = outcome
    }
    this.count++
  }

  #sort(matches: Matches): void {
    const order = this.#order
    order.length = 0
    if (matches.count > INSERTION_SORT_MAX) {
      const keys = new Float64Array(matches.count)
      for (let i = 0; i < matches.count; i++) keys[i] = matches.start(i) * MATCH_INDEX_LIMIT + i
      for (const key of keys.sort()) order.push(key % MATCH_INDEX_LIMIT)
      return
    }
    for (let i = 0; i < matches.count; i++) {
      let at = i
      while (at > 0 && matches.start(order[at - 1]) > matches.start(i)) {
        order[at] = order[at - 1]
        at--
      }
      order[at] = i
    }
  }

  /** The matches order[first..next), which overlap in a chain that ends at `end`. */
  #cluster(matches: Matches, profile: Profile, first: number, next: number, end: number): void {
    const members = this.#order.slice(first, next).map(
      (index): Part => ({
        start: matches.start(index),
        end: matches.end(index),
        outcome: outcomeOf(profile, matches.source(index)),
      }),
    )
    if (members.length === 1) {
      this.#add(members[0].start, members[0].end, members[0].outcome)
      return
    }
    if (members.length > CLUSTER_MAX) {
      this.#add(members[0].start, end, decisiveOf(members).outcome)
      return
    }
    members.sort(byPrecedence)
    let accepted: Part[] = []
    for (const part of members) {
      accepted = [...accepted, ...remainders(part, accepted)].sort((a, b) => a.start - b.start)
    }
    for (const part of accepted) this.#add(part.start, part.end, part.outcome)
  }
}

function byPrecedence(a: Part, b: Part): number {
  return a.outcome.rule - b.outcome.rule || b.end - b.start - (a.end - a.start) || a.start - b.start
}

/** The first by precedence of those that change something, or of all. */
function decisiveOf(members: readonly Part[]): Part {
  let best = members[0]
  for (const part of members) {
    const isKept = part.outcome.effect === Effect.KEEP
    const isBestKept = best.outcome.effect === Effect.KEEP
    if (isKept === isBestKept ? byPrecedence(part, best) < 0 : isBestKept) best = part
  }
  return best
}

/** What of `part` none of `taken`, sorted and free of overlap, has. */
function remainders(part: Part, taken: readonly Part[]): Part[] {
  const left: Part[] = []
  let at = part.start
  for (const other of taken) {
    if (other.end <= at) continue
    if (other.start >= part.end) break
    if (other.start > at) left.push({ start: at, end: other.start, outcome: part.outcome })
    at = other.end
  }
  if (at < part.end) left.push({ start: at, end: part.end, outcome: part.outcome })
  return left
}
