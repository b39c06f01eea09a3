// Ranges of issuer identification numbers (ISO/IEC 7812-1) by their first four digits, with the lengths that are issued.

/** Lengths, then ranges of first four digits. */
const RANGES = [
  ['13,16,19', '4000-4999'], // Visa, Elo, Dankort
  ['15', '3400-3499 3700-3799 1800 2131'], // American Express, the oldest of JCB
  ['16', '2221-2720 5100-5599'], // Mastercard, Diners in North America
  ['16,17,18,19', '2200-2204 3528-3589 6011 6440-6499 6500-6599 6200-6299 8100-8199'], // Mir, JCB, Discover, UnionPay
  ['14,15,16,17,18,19', '3600-3699'], // Diners
  ['14,16,19', '3000-3059 3095 3800-3999'],
  ['16', '6000-6099 8200-8299 5080-5089'], // RuPay, Hipercard, Cabal
  ['16', '5041 5066 5067 5090-5099 6277 6362 6363'], // Elo
  ['16,18,19', '5060 5061 5078 5079'], // Verve
  ['16,17,18,19', '6360-6369 6370-6399'], // InterPayment, InstaPayment
  ['16', '5895 5896 8600 9792 9860'], // Naranja, Cabal, Uzcard, Troy, Humo
  ['16,17,18,19', '6703 6706 6709 6771 6799'], // Bancontact, Laser
  ['12,13,14,15,16,17,18,19', '5018-5020 5038 5612 5893 6304 6390 6759 6761-6763'], // Maestro
] as const

const SHORTEST = 12

/** By first four digits, one bit a length from the shortest on. */
let lengthsOf: Uint8Array | undefined

function lengthTable(): Uint8Array {
  const table = new Uint8Array(10_000)
  for (const [lengths, ranges] of RANGES) {
    let bits = 0
    for (const length of lengths.split(',')) bits |= 1 << (Number(length) - SHORTEST)
    for (const range of ranges.split(' ')) {
      const [first, last = first] = range.split('-')
      for (let four = Number(first); four <= Number(last); four++) table[four] |= bits
    }
  }
  return table
}

/** Whether numbers of this length that begin with these four digits are issued. */
export function isIssued(four: number, length: number): boolean {
  lengthsOf ??= lengthTable()
  return (lengthsOf[four] & (1 << (length - SHORTEST))) !== 0
}
