// Globs over attribute keys, matched on bytes: `*` stands for any run of bytes, everything else for itself.

const STAR = 0x2a

export class Globs {
  readonly isEmpty: boolean
  readonly #globs: readonly Uint8Array[]

  constructor(globs: readonly string[]) {
    this.#globs = globs.map((glob) => Buffer.from(glob))
    this.isEmpty = globs.length === 0
  }

  /** Whether the key [start, end) matches a glob as a whole. */
  match(buf: Uint8Array, start: number, end: number): boolean {
    for (let i = 0; i < this.#globs.length; i++) if (matchGlob(this.#globs[i], buf, start, end)) return true
    return false
  }
}

/** Greedy with one point to come back to, which is enough for `*`: at worst length of glob × length of key. */
function matchGlob(glob: Uint8Array, buf: Uint8Array, start: number, end: number): boolean {
  let at = 0
  let pos = start
  let starAt = -1
  let starPos = start
  while (pos < end) {
    if (at < glob.length && glob[at] === STAR) {
      starAt = at++
      starPos = pos
    } else if (at < glob.length && glob[at] === buf[pos]) {
      at++
      pos++
    } else if (starAt >= 0) {
      at = starAt + 1
      pos = ++starPos
    } else return false
  }
  while (at < glob.length && glob[at] === STAR) at++
  return at === glob.length
}
