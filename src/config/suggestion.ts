/** The candidate that a typing mistake was most likely meant to be; `undefined` when none is near enough. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = normalise(word)
  const distanceMax = Math.max(1, Math.min(3, Math.floor(wanted.length / 3)))
  let best: string | undefined
  let bestDistance = distanceMax + 1
  for (const candidate of candidates) {
    const distance = editDistance(wanted, normalise(candidate), distanceMax)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** `; did you mean X?`, or nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const found = nearest(word, candidates)
  return found === undefined ? '' : `; did you mean ${found}?`
}

// camelCase and kebab-case spellings of a snake_case key are the same word.
function normalise(word: string): string {
  return word
    .slice(0, 64)
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toLowerCase()
}

/** Insertions, deletions, replacements and swaps of neighbours. More than `max` is answered as `max + 1`. */
function editDistance(a: string, b: string, max: number): number {
  if (Math.abs(a.length - b.length) > max) return max + 1
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1]
      let cost = Math.min(row[j - 1]! + 1, last[j]! + 1, last[j - 1]! + (isSame ? 0 : 1))
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (isSwap) cost = Math.min(cost, beforeLast[j - 2]! + 1)
      row.push(cost)
    }
    beforeLast = last
    last = row
  }
  return Math.min(last[b.length]!, max + 1)
}
