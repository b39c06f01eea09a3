// Check digits that several countries share. All take letters and digits only, letters as capitals.

/** The value of a character: 0-9 for digits, 10-35 for letters. */
export function valueAt(text: string, index: number): number {
  const code = text.charCodeAt(index)
  return code < 0x3a ? code - 0x30 : code - 0x41 + 10
}

/** Sum of the values of `text`, each times its weight; weights begin again when they are used up. */
export function weighted(
  text: string,
  weights: readonly number[],
  from = 0,
  to = from + weights.length,
): number {
  let sum = 0
  for (let i = from; i < to; i++) sum += valueAt(text, i) * weights[(i - from) % weights.length]
  return sum
}

/** As `weighted`, over the characters before `end` from right to left. */
export function weightedFromRight(text: string, weights: readonly number[], end: number): number {
  let sum = 0
  for (let i = 0; i < end; i++) sum += valueAt(text, end - 1 - i) * weights[i % weights.length]
  return sum
}

/** ISO/IEC 7812-1, also over letters as 10 to 35 (Portuguese cards). */
export function hasLuhnDigit(text: string): boolean {
  let sum = 0
  for (let i = 0; i < text.length; i++) {
    const value = valueAt(text, text.length - 1 - i)
    if ((i & 1) === 0) sum += value
    else sum += value * 2 > 9 ? value * 2 - 9 : value * 2
  }
  return sum % 10 === 0
}

/** ISO/IEC 7064 MOD 11,10. */
export function hasMod1110Digit(text: string): boolean {
  let product = 10
  for (let i = 0; i < text.length - 1; i++) {
    const sum = (valueAt(text, i) + product) % 10
    product = ((sum === 0 ? 10 : sum) * 2) % 11
  }
  return (product + valueAt(text, text.length - 1)) % 10 === 1
}

/** ISO/IEC 7064 MOD 11-2 with X for 10. */
export function hasMod112Digit(text: string): boolean {
  let sum = 0
  for (let i = 0; i < text.length - 1; i++) sum = ((sum + valueAt(text, i)) * 2) % 11
  const check = (12 - sum) % 11
  return text.at(-1) === (check === 10 ? 'X' : String(check))
}

/** What is left of a number of digits, divided by `divisor`. */
export function remainder(text: string, divisor: number): number {
  let rest = 0
  for (let i = 0; i < text.length; i++) rest = (rest * 10 + valueAt(text, i)) % divisor
  return rest
}

const DIHEDRAL = [
  '0123456789',
  '1234067895',
  '2340178956',
  '3401289567',
  '4012395678',
  '5987604321',
  '6598710432',
  '7659821043',
  '8765932104',
  '9876543210',
]
const PERMUTED = [
  '0123456789',
  '1576283094',
  '5803796142',
  '8916043527',
  '9453126870',
  '4286573901',
  '2793806415',
  '7046913258',
]

/** Verhoeff's check digit, in the dihedral group of order ten. */
export function hasVerhoeffDigit(text: string): boolean {
  let check = 0
  for (let i = 0; i < text.length; i++) {
    const permuted = Number(PERMUTED[i % 8][valueAt(text, text.length - 1 - i)])
    check = Number(DIHEDRAL[check][permuted])
  }
  return check === 0
}

/** Whether there is such a day in some year that ends so. */
export function isDate(year: number, month: number, day: number): boolean {
  if (month < 1 || month > 12 || day < 1) return false
  const days =
    month === 2
      ? year % 4 === 0
        ? 29
        : 28
      : month === 4 || month === 6 || month === 9 || month === 11
        ? 30
        : 31
  return day <= days
}

export function number(text: string, from: number, to: number): number {
  return Number(text.slice(from, to))
}

/** YYMMDD at `at`. */
export function isYearFirst(text: string, at: number): boolean {
  return isDate(number(text, at, at + 2), number(text, at + 2, at + 4), number(text, at + 4, at + 6))
}

/** DDMMYY at `at`. */
export function isDayFirst(text: string, at: number): boolean {
  return isDate(number(text, at + 4, at + 6), number(text, at + 2, at + 4), number(text, at, at + 2))
}
