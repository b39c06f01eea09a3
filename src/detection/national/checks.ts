// How countries tell a number of theirs from any other: check digits, dates and ranges, one function a kind. The text is
// letters (capitals) and digits only, and fits the kind's pattern. Long since there are many: none knows of another.

import {
  hasLuhnDigit,
  hasMod1110Digit,
  hasVerhoeffDigit,
  isDate,
  isDayFirst,
  isYearFirst,
  number,
  remainder,
  valueAt,
  weighted,
  weightedFromRight,
} from './check-digits.ts'

const UP = [1, 2, 3, 4, 5, 6, 7, 8, 9]
const last = (text: string): string => text.slice(-1)
const digit = (text: string, index: number): number => text.charCodeAt(index) - 0x30

export const austriaSocial = (text: string): boolean =>
  weighted(text, [3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11 === digit(text, 3)

export const australiaTax = (text: string): boolean =>
  weighted(text, [1, 4, 3, 7, 5, 8, 6, 9, 10], 0, text.length) % 11 === 0

export const australiaMedicare = (text: string): boolean =>
  digit(text, 0) >= 2 &&
  digit(text, 0) <= 6 &&
  weighted(text, [1, 3, 7, 9, 1, 3, 7, 9]) % 10 === digit(text, 8)

/** Those born from 2000 on have a 2 in front of the nine digits. */
export function belgium(text: string): boolean {
  const check = 97 - number(text, 9, 11)
  return (
    remainder(text.slice(0, 9), 97) === check % 97 || remainder(`2${text.slice(0, 9)}`, 97) === check % 97
  )
}

export const belgiumCard = (text: string): boolean =>
  (remainder(text.slice(0, 10), 97) || 97) === number(text, 10, 12)

export const bulgaria = (text: string): boolean => {
  const month = number(text, 2, 4) % 20
  return (
    isDate(number(text, 0, 2), month, number(text, 4, 6)) &&
    (weighted(text, [2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11) % 10 === digit(text, 9)
  )
}

export function brazil(text: string): boolean {
  if (new Set(text).size === 1) return false
  const first = ((11 - (weighted(text, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 11) % 10
  const second = ((11 - (weighted(text, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 11) % 10
  return digit(text, 9) === first && digit(text, 10) === second
}

export const canadaSocial = (text: string): boolean =>
  digit(text, 0) > 0 && digit(text, 0) !== 8 && hasLuhnDigit(text)

export const britishColumbia = (text: string): boolean =>
  11 - (weighted(text, [2, 4, 8, 5, 10, 9, 7, 3], 1) % 11) === digit(text, 9)

export const eanDigit = (text: string): boolean =>
  (10 - (weightedFromRight(text, [3, 1], text.length - 1) % 10)) % 10 === digit(text, text.length - 1)

export const chile = (text: string): boolean =>
  '0K987654321'[weightedFromRight(text, [2, 3, 4, 5, 6, 7], text.length - 1) % 11] === last(text)

export const colombia = (text: string): boolean =>
  '01987654321'[
    weightedFromRight(text, [3, 7, 13, 17, 19, 23, 29, 37, 41, 43, 47, 53, 59, 67, 71], text.length - 1) % 11
  ] === last(text)

export const cuba = (text: string): boolean => isYearFirst(text, 0)

/** Women's months have 50 more; from 2004 on 20 more where the day's numbers ran out. */
export function czechSlovak(text: string): boolean {
  const month = (number(text, 2, 4) % 50) % 20
  if (!isDate(number(text, 0, 2), month, number(text, 4, 6))) return false
  if (text.length === 9) return number(text, 0, 2) < 54
  return remainder(text, 11) === 0 || (remainder(text.slice(0, 9), 11) === 10 && digit(text, 9) === 0)
}

/** One digit of the first ten comes twice or three times, the others once. */
export function germanTaxId(text: string): boolean {
  const different = new Set(text.slice(0, 10)).size
  return digit(text, 0) > 0 && (different === 9 || different === 8) && hasMod1110Digit(text)
}

/** The check digit is not used for all numbers given out since 2007. */
export const denmark = (text: string): boolean => isDayFirst(text, 0)

export function ecuador(text: string): boolean {
  const province = number(text, 0, 2)
  return ((province >= 1 && province <= 24) || province === 30) && digit(text, 2) <= 6 && hasLuhnDigit(text)
}

export function estoniaLithuania(text: string): boolean {
  const first = weighted(text, [1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11
  const check = first < 10 ? first : (weighted(text, [3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11) % 10
  return check === digit(text, 10) && isYearFirst(text, 1)
}

const SPAIN = 'TRWAGMYFPDXBNJZSQVHLCKE'

export const spain = (text: string): boolean => SPAIN[Number(text.slice(0, -1)) % 23] === last(text)

export function spainForeign(text: string): boolean {
  const first = 'XYZ'.indexOf(text[0])
  return first >= 0 && SPAIN[Number(first + text.slice(1, -1)) % 23] === last(text)
}

/** Those without a national number begin with K, L or M; companies with other letters. */
export function spainTax(text: string): boolean {
  if ('KLM'.includes(text[0])) return SPAIN[Number(text.slice(1, -1)) % 23] === last(text)
  if (!'ABCDEFGHJNPQRSUVW'.includes(text[0]) || Number.isNaN(Number(text.slice(1, 8)))) return false
  let sum = 0
  for (let i = 1; i < 8; i++) {
    const twice = digit(text, i) * 2
    sum += i % 2 === 0 ? digit(text, i) : twice > 9 ? twice - 9 : twice
  }
  const check = (10 - (sum % 10)) % 10
  return last(text) === String(check) || last(text) === 'JABCDEFGHI'[check]
}

/** The letter between the date and the number may have been left out as a dash. */
export function finland(text: string): boolean {
  const rest = text.length === 11 ? text.slice(7, 10) : text.slice(6, 9)
  const value = Number(text.slice(0, 6) + rest)
  return isDayFirst(text, 0) && '0123456789ABCDEFHJKLMNPRSTUVWXY'[value % 31] === last(text)
}

/** Corsica's departments are 2A and 2B. */
export function france(text: string): boolean {
  const digits = text.replace('2A', '19').replace('2B', '18')
  return /^\d{15}$/.test(digits) && 97 - remainder(digits.slice(0, 13), 97) === number(text, 13, 15)
}

export const franceTax = (text: string): boolean =>
  digit(text, 0) < 4 && remainder(text.slice(0, 10), 511) === number(text, 10, 13)

export const nhs = (text: string): boolean =>
  (11 - (weighted(text, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 11 === digit(text, 9)

export const ukInsurance = (text: string): boolean =>
  !/^(?:[DFIQUV]|.[DFIOQUV]|BG|GB|KN|NK|NT|TN|ZZ)/.test(text)

export const ukTax = (text: string): boolean =>
  '21987654321'[weighted(text, [6, 7, 8, 9, 10, 5, 4, 3, 2], 1) % 11] === text[0]

export const ukPupil = (text: string): boolean =>
  'ABCDEFGHJKLMNPQRTUVWXYZ'[weighted(text, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], 1) % 23] === text[0]

export const greeceSocial = (text: string): boolean => isDayFirst(text, 0) && hasLuhnDigit(text)

export const greeceTax = (text: string): boolean =>
  (weighted(text, [256, 128, 64, 32, 16, 8, 4, 2]) % 11) % 10 === digit(text, 8)

export const guatemala = (text: string): boolean =>
  '0123456789K'[
    (11 - (weightedFromRight(text, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], text.length - 1) % 11)) % 11
  ] === last(text)

export const hungarySocial = (text: string): boolean =>
  weighted(text, [3, 7, 3, 7, 3, 7, 3, 7]) % 10 === digit(text, 8)

export const hungaryTax = (text: string): boolean => weighted(text, UP) % 11 === digit(text, 9)

/** Women's days have 40 more. */
export const indonesia = (text: string): boolean =>
  isDate(number(text, 10, 12), number(text, 8, 10), number(text, 6, 8) % 40) && number(text, 0, 2) >= 11

export function ireland(text: string): boolean {
  const second = text.length > 8 && text[8] !== 'W' ? valueAt(text, 8) - 9 : 0
  return 'WABCDEFGHIJKLMNOPQRSTUV'[(weighted(text, [8, 7, 6, 5, 4, 3, 2]) + second * 9) % 23] === text[7]
}

export const aadhaar = (text: string): boolean => digit(text, 0) >= 2 && hasVerhoeffDigit(text)

export const indiaTax = (text: string): boolean => 'ABCFGHJLPT'.includes(text[3])

export const indiaVoter = (text: string): boolean => hasLuhnDigit(text.slice(3))

/** Companies' days have 40 more. */
export const iceland = (text: string): boolean =>
  isDate(number(text, 4, 6), number(text, 2, 4), number(text, 0, 2) % 40) &&
  weighted(text, [3, 2, 7, 6, 5, 4, 3, 2, 1]) % 11 === 0

const ITALY_ODD = [
  1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
]

/** Eleven digits are those of a trader. */
export function italy(text: string): boolean {
  if (text.length === 11) return hasLuhnDigit(text)
  let sum = 0
  for (let i = 0; i < 15; i++) {
    const value = valueAt(text, i) % 10 === valueAt(text, i) ? valueAt(text, i) : valueAt(text, i) - 10
    sum += i % 2 === 0 ? ITALY_ODD[value] : value
  }
  return String.fromCharCode(0x41 + (sum % 26)) === text[15] && 'ABCDEHLMPRST'.includes(text[8])
}

export function japan(text: string): boolean {
  const rest = weightedFromRight(text, [2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6], 11) % 11
  return (rest <= 1 ? 0 : 11 - rest) === digit(text, 11)
}

/** Numbers given out since October 2020 have no check digit, but still a birthday and a sex. */
export const korea = (text: string): boolean => isYearFirst(text, 0)

export function kazakhstan(text: string): boolean {
  const first = weighted(text, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]) % 11
  const check = first < 10 ? first : weighted(text, [3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2]) % 11
  return check === digit(text, 11)
}

/** Numbers that begin with 32 say nothing of a birthday. */
export const latvia = (text: string): boolean =>
  text.startsWith('32') ||
  (isDayFirst(text, 0) &&
    ((1 + weighted(text, [10, 5, 8, 4, 2, 1, 6, 3, 7, 9])) % 11) % 10 === digit(text, 10))

/** The unique master citizen number of former Yugoslavia: day, month and three digits of the year. */
export function yugoslavia(text: string): boolean {
  const rest = weighted(text, [7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11
  return (
    isDate(number(text, 5, 7), number(text, 2, 4), number(text, 0, 2)) &&
    ((11 - rest) % 11) % 10 === digit(text, 12)
  )
}

export const moldova = (text: string): boolean => weighted(text, [7, 3, 1], 0, 12) % 10 === digit(text, 12)

export function mauritius(text: string): boolean {
  const check = weighted(text, [14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) % 17
  return '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ'[(17 - check) % 17] === text[13]
}

export function mexicoPopulation(text: string): boolean {
  let sum = 0
  for (let i = 0; i < 17; i++) {
    const value = valueAt(text, i)
    sum += (value > 23 ? value + 1 : value) * (18 - i) // Ñ stands after N
  }
  return isYearFirst(text, 4) && (10 - (sum % 10)) % 10 === digit(text, 17)
}

export const mexicoTax = (text: string): boolean => isYearFirst(text, text.search(/\d/))

export const malaysia = (text: string): boolean => isYearFirst(text, 0)

export const mozambique = (text: string): boolean =>
  '01234567891'[weighted(text, [8, 9, 4, 5, 6, 7, 8, 9]) % 11] === last(text)

export const netherlands = (text: string): boolean =>
  (weighted(text, [9, 8, 7, 6, 5, 4, 3, 2]) - digit(text, 8)) % 11 === 0 && Number(text) > 0

export const netherlandsPupil = (text: string): boolean =>
  text.startsWith('10') &&
  (((weighted(text, [9, 8, 7, 6, 5, 4, 3, 2]) - digit(text, 8)) % 11) + 11) % 11 === 5

export function norway(text: string): boolean {
  const first = (11 - (weighted(text, [3, 7, 6, 1, 8, 9, 4, 5, 2]) % 11)) % 11
  const second = (11 - (weighted(text, [5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11)) % 11
  return digit(text, 9) === first && digit(text, 10) === second
}

export function newZealandTax(text: string): boolean {
  const padded = text.padStart(9, '0')
  const first = weighted(padded, [3, 2, 7, 6, 5, 4, 3, 2]) % 11
  if (first === 0) return digit(padded, 8) === 0
  if (first !== 1) return 11 - first === digit(padded, 8)
  const second = weighted(padded, [7, 4, 3, 2, 5, 2, 7, 6]) % 11
  return second !== 1 && (11 - second) % 11 === digit(padded, 8)
}

/** National health index: letters without I and O count from 1. */
export function newZealandHealth(text: string): boolean {
  const alphabet = 'ABCDEFGHJKLMNPQRSTUVWXYZ'
  let sum = 0
  for (let i = 0; i < 6; i++) sum += (7 - i) * (i < 3 ? alphabet.indexOf(text[i]) + 1 : digit(text, i))
  return sum % 11 !== 0 && (11 - (sum % 11)) % 10 === digit(text, 6)
}

export function peru(text: string): boolean {
  const rest = weighted(text, [3, 2, 7, 6, 5, 4, 3, 2]) % 11
  return '65432110987'[rest] === last(text) || 'KJIHGFEDCBA'[rest] === last(text)
}

export const pakistan = (text: string): boolean =>
  digit(text, 0) >= 1 && digit(text, 0) <= 7 && digit(text, 12) > 0

/** Centuries have 20, 40, 60 or 80 more in the month. */
export const poland = (text: string): boolean =>
  isDate(number(text, 0, 2), number(text, 2, 4) % 20, number(text, 4, 6)) &&
  (10 - (weighted(text, [1, 3, 7, 9], 0, 10) % 10)) % 10 === digit(text, 10)

export const polandTax = (text: string): boolean =>
  weighted(text, [6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 === digit(text, 9)

export const portugalTax = (text: string): boolean =>
  ((11 - (weighted(text, [9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 11) % 10 === digit(text, 8)

export const paraguay = (text: string): boolean =>
  ((11 - (weightedFromRight(text, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11], text.length - 1) % 11)) % 11) % 10 ===
  digit(text, text.length - 1)

export function romania(text: string): boolean {
  const rest = weighted(text, [2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11
  return isYearFirst(text, 1) && (rest === 10 ? 1 : rest) === digit(text, 12)
}

/** Ten digits are a company's or a sole trader's. */
export const russiaTax = (text: string): boolean =>
  text.length === 10
    ? (weighted(text, [2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11) % 10 === digit(text, 9)
    : isRussianPerson(text)

const isRussianPerson = (text: string): boolean =>
  (weighted(text, [7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11) % 10 === digit(text, 10) &&
  (weighted(text, [3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11) % 10 === digit(text, 11)

export const russiaSocial = (text: string): boolean =>
  (weighted(text, [9, 8, 7, 6, 5, 4, 3, 2, 1]) % 101) % 100 === number(text, 9, 11)

/** Coordination numbers have 60 more in the day. */
export function sweden(text: string): boolean {
  const short = text.slice(-10)
  return isDate(number(short, 0, 2), number(short, 2, 4), number(short, 4, 6) % 60) && hasLuhnDigit(short)
}

export function singapore(text: string): boolean {
  const sum =
    weighted(text, [2, 7, 6, 5, 4, 3, 2], 1) +
    (text[0] === 'T' || text[0] === 'G' ? 4 : text[0] === 'M' ? 3 : 0)
  const letters = 'ST'.includes(text[0])
    ? 'JZIHGFEDCBA'
    : 'FG'.includes(text[0])
      ? 'XWUTRQPNMLK'
      : 'XWUTRQPNJLK'
  return 'STFGM'.includes(text[0]) && letters[sum % 11] === text[8]
}

export function salvador(text: string): boolean {
  if (text.slice(10, 13) <= '100') {
    return (weighted(text, [14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 10 === digit(text, 13)
  }
  const sum = weighted(text, [2, 7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11
  return ((11 - sum) % 11) % 10 === digit(text, 13)
}

export const thailand = (text: string): boolean =>
  digit(text, 0) > 0 &&
  (11 - (weighted(text, [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 10 === digit(text, 12)

export function turkey(text: string): boolean {
  const odd = weighted(text, [1, 0, 1, 0, 1, 0, 1, 0, 1])
  const even = weighted(text, [0, 1, 0, 1, 0, 1, 0, 1])
  const tenth = (((odd * 7 - even) % 10) + 10) % 10
  return digit(text, 0) > 0 && tenth === digit(text, 9) && (odd + even + tenth) % 10 === digit(text, 10)
}

export function taiwan(text: string): boolean {
  const code = 'ABCDEFGHJKLMNPQRSTUVXYWZIO'.indexOf(text[0]) + 10
  return (Math.floor(code / 10) + (code % 10) * 9 + weighted(text, [8, 7, 6, 5, 4, 3, 2, 1, 1], 1)) % 10 === 0
}

export const ukraine = (text: string): boolean =>
  (((weighted(text, [-1, 5, 7, 9, 4, 6, 10, 5, 7]) % 11) + 11) % 11) % 10 === digit(text, 9)

/** Never given out: area 000, group 00 and serial 0000. Numbers from 900 on are those of taxpayers without one. */
export const unitedStates = (text: string): boolean =>
  number(text, 0, 3) > 0 && number(text, 0, 3) !== 666 && number(text, 3, 5) > 0 && number(text, 5, 9) > 0

export const uruguay = (text: string): boolean =>
  (10 - (weighted(text.padStart(8, '0'), [2, 9, 8, 7, 6, 3, 4]) % 10)) % 10 === digit(text, text.length - 1)

export function venezuela(text: string): boolean {
  const first = { V: 4, E: 8, J: 12, P: 16, G: 20 }[text[0]]
  if (first === undefined) return false
  return '00987654321'[(first + weighted(text, [3, 2, 7, 6, 5, 4, 3, 2], 1)) % 11] === last(text)
}

export const vietnam = (text: string): boolean => number(text, 0, 3) >= 1 && number(text, 0, 3) <= 96

export const southAfrica = (text: string): boolean => isYearFirst(text, 0) && hasLuhnDigit(text)

export const argentina = (text: string): boolean =>
  ((11 - (weighted(text, [5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11)) % 11) % 10 === digit(text, 10)

export function iran(text: string): boolean {
  const rest = weighted(text, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11
  return new Set(text).size > 1 && (rest < 2 ? rest : 11 - rest) === digit(text, 9)
}

export function hongKong(text: string): boolean {
  const padded = text.length === 8 ? ` ${text}` : text
  const sum = (text.length === 8 ? 36 : valueAt(text, 0)) * 9 + weighted(padded, [8, 7, 6, 5, 4, 3, 2], 1)
  return '0123456789A'[(11 - (sum % 11)) % 11] === last(text)
}

export const egypt = (text: string): boolean => (text[0] === '2' || text[0] === '3') && isYearFirst(text, 1)

export const kuwait = (text: string): boolean =>
  11 - (weighted(text, [2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11) === digit(text, 11)

/** Twelfth digit by Luhn, thirteenth by Verhoeff, both over the first eleven. */
export const luxembourg = (text: string): boolean =>
  isDate(number(text, 2, 4), number(text, 4, 6), number(text, 6, 8)) &&
  hasLuhnDigit(text.slice(0, 12)) &&
  hasVerhoeffDigit(text.slice(0, 11) + last(text))

export const slovenia = (text: string): boolean =>
  ((11 - (weighted(text, [8, 7, 6, 5, 4, 3, 2]) % 11)) % 11) % 10 === digit(text, 7)

export const emirates = (text: string): boolean => text.startsWith('784') && hasLuhnDigit(text)

export const saudi = (text: string): boolean => (text[0] === '1' || text[0] === '2') && hasLuhnDigit(text)
