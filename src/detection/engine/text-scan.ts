// One pass over a value for all detectors. Most bytes cannot begin or betray anything and cost one table lookup; a byte
// that can (a digit, an @, a colon, …) is handed to the detectors that care about it. The bet: in telemetry such bytes
// are rare. It is lost on values made of nothing else, and then the work per byte is bounded, since every detector
// reads a bounded stretch around its byte or consumes what it read.

import { detectEmail } from '../contact/email.ts'
import { detectInternationalPhone, detectNorthAmericanPhone, isAfterPlus } from '../contact/phone.ts'
import { detectAuthorization } from '../credentials/authorization.ts'
import { detectJwt } from '../credentials/jwt.ts'
import { detectPrivateKey } from '../credentials/private-key.ts'
import {
  detectMarkedToken,
  detectProviderToken,
  detectTerraformToken,
} from '../credentials/provider-token.ts'
import { detectSecretMember, detectSecretOption } from '../credentials/secret-member.ts'
import { detectSecretParameter } from '../credentials/secret-parameter.ts'
import { detectUrlCredentials } from '../credentials/url-credentials.ts'
import { Detector } from '../detectors.ts'
import { detectIban } from '../finance/iban.ts'
import { detectPaymentCard } from '../finance/payment-card.ts'
import { detectLabelled } from '../names/labelled.ts'
import { detectMember } from '../names/members.ts'
import { detectUsSsn } from '../national/us-ssn.ts'
import { detectIpv4 } from '../network/ipv4.ts'
import { detectIpv6 } from '../network/ipv6.ts'
import { detectMac } from '../network/mac.ts'
import { ALNUM, ALPHA, CLASS, DIGIT, percentByte } from './bytes.ts'
import type { Matches } from './matches.ts'

const EMAIL = 1 << Detector.EMAIL
const CARD = 1 << Detector.PAYMENT_CARD
const SSN = 1 << Detector.US_SSN
const IPV4 = 1 << Detector.IPV4
const IPV6 = 1 << Detector.IPV6
const PHONE = 1 << Detector.PHONE
const IBAN = 1 << Detector.IBAN
const JWT = 1 << Detector.JWT
const AUTHORIZATION = (1 << Detector.BEARER) | (1 << Detector.BASIC)
const URL_CREDENTIALS = 1 << Detector.URL_CREDENTIALS
const PARAMETER = 1 << Detector.SECRET_PARAMETER
const LABELLED =
  (1 << Detector.NATIONAL_ID) |
  (1 << Detector.BANK_ACCOUNT) |
  (1 << Detector.BIRTH_DATE) |
  (1 << Detector.MEDICAL) |
  (1 << Detector.PLATE) |
  (1 << Detector.IMEI) |
  PHONE |
  CARD |
  SSN |
  IBAN
const MEMBER = LABELLED | (1 << Detector.PERSON_FIELD)
const MAC = 1 << Detector.MAC
const TOKEN = 1 << Detector.PROVIDER_TOKEN
const PRIVATE_KEY = 1 << Detector.PRIVATE_KEY
const NUMERIC = CARD | SSN | IPV4 | PHONE | IBAN | LABELLED | TOKEN

const AT = 0x40
const PERCENT = 0x25
const COLON = 0x3a
const EQUALS = 0x3d
const GREATER = 0x3e
const PLUS = 0x2b
const COMMA = 0x2c
const DASH = 0x2d
const DOT = 0x2e
const UNDERSCORE = 0x5f
const CAPITAL_B = 0x42
const SMALL_B = 0x62
const CAPITAL_J = 0x4a
const CAPITAL_Q = 0x51
const BAR = 0x7c
const SLASH = 0x2f

/** Which bytes stop the pass for the detectors in `mask`: 1 a digit, 2 anything else. */
export function stopTable(mask: number): Uint8Array {
  const table = new Uint8Array(256)
  if ((mask & NUMERIC) !== 0) table.fill(1, 0x30, 0x3a)
  const stop = (byte: number, detectors: number): void => {
    if ((mask & detectors) !== 0) table[byte] = 2
  }
  stop(AT, EMAIL)
  stop(PERCENT, EMAIL | PARAMETER)
  stop(COLON, IPV6 | URL_CREDENTIALS | MEMBER | MAC | PARAMETER)
  stop(EQUALS, PARAMETER | MEMBER)
  stop(GREATER, MEMBER | PARAMETER)
  stop(COMMA, PARAMETER)
  stop(UNDERSCORE, TOKEN)
  stop(DOT, TOKEN)
  stop(DASH, TOKEN | PRIVATE_KEY | PARAMETER)
  stop(PLUS, TOKEN)
  // Not the space after the word: there are ten spaces in a text for every B.
  stop(CAPITAL_B, AUTHORIZATION)
  stop(SMALL_B, AUTHORIZATION)
  stop(CAPITAL_J, JWT)
  return table
}

/** Adds what the detectors in `mask` find in [start, end) to `matches`. `stops` is `stopTable(mask)`. */
export function scanText(
  buf: Uint8Array,
  start: number,
  end: number,
  mask: number,
  stops: Uint8Array,
  matches: Matches,
): void {
  for (let i = start; i < end; ) {
    // Four bytes with one branch.
    if (i + 4 <= end && (stops[buf[i]] | stops[buf[i + 1]] | stops[buf[i + 2]] | stops[buf[i + 3]]) === 0) {
      i += 4
      continue
    }
    const stop = stops[buf[i]]
    if (stop === 0) i++
    else if (stop === 1) i = atDigits(buf, start, end, i, mask, matches)
    else {
      atMark(buf, start, end, i, mask, matches)
      i++
    }
  }
}

/** `at` begins a run of digits. Returns where to go on. */
function atDigits(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  mask: number,
  matches: Matches,
): number {
  let runEnd = at + 1
  while (runEnd < end && (CLASS[buf[runEnd]] & DIGIT) !== 0) runEnd++
  const length = runEnd - at
  const next = runEnd < end ? buf[runEnd] : 0
  if ((mask & TOKEN) !== 0) {
    // Letters stand beside the digits of a token; other numbers are far more frequent.
    if (
      (at > start && (CLASS[buf[at - 1]] & ALPHA) !== 0) ||
      (CLASS[next] & ALPHA) !== 0 ||
      (length === 1 && next === SLASH)
    )
      detectProviderToken(buf, start, end, at, matches)
    if (next === CAPITAL_Q || next === COLON || next === BAR)
      detectMarkedToken(buf, start, end, at, runEnd, matches)
  }
  if ((mask & LABELLED) !== 0 && at > start && isFirstGroup(buf, start, at, runEnd, end)) {
    const labelledEnd = detectLabelled(buf, start, end, at, mask, matches)
    if (labelledEnd > 0) return labelledEnd
  }
  if (at > start) {
    const before = buf[at - 1]
    if (
      (before === PLUS || before === 0x42 || before === 0x62) &&
      (mask & PHONE) !== 0 &&
      isAfterPlus(buf, start, at)
    ) {
      detectInternationalPhone(buf, start, end, at, matches)
    }
    if ((CLASS[before] & ALPHA) !== 0 && length >= 2 && (mask & IBAN) !== 0 && at - 2 >= start) {
      if ((CLASS[buf[at - 2]] & ALPHA) !== 0) detectIban(buf, start, end, at, matches)
    }
  }
  if (length <= 3 && next === 0x2e && (mask & IPV4) !== 0) detectIpv4(buf, start, end, at, matches)
  if (length === 3 && (CLASS[next] & ALNUM) === 0) {
    if ((mask & SSN) !== 0) detectUsSsn(buf, start, end, at, matches)
    if ((mask & PHONE) !== 0) detectNorthAmericanPhone(buf, start, end, at, matches)
  }
  if (length >= 4 && (mask & CARD) !== 0) {
    const cardEnd = detectPaymentCard(buf, start, end, at, runEnd, matches)
    if (cardEnd > 0) return cardEnd
  }
  return runEnd
}

/** Digits without a letter beside them that a number has at least; a day before its month's name has fewer. */
const DIGITS_MIN = 4

/** Whether digits may begin a number that its name tells from others: enough of them, or some with letters beside them. */
function isFirstGroup(buf: Uint8Array, start: number, at: number, runEnd: number, end: number): boolean {
  const before = CLASS[buf[at - 1]]
  // A number that began before: it was asked about there.
  if ((before & ALNUM) === 0 && at - 2 >= start && (CLASS[buf[at - 2]] & DIGIT) !== 0) return false
  if (runEnd - at >= DIGITS_MIN) return true
  if (runEnd + 1 >= end) return false
  const next = buf[runEnd]
  if ((CLASS[next] & ALNUM) !== 0) return true
  const isLetterNext = (CLASS[buf[runEnd + 1]] & ALNUM) !== 0 && buf[runEnd + 1] <= 0x5a
  if ((before & ALPHA) !== 0) return isLetterNext && next !== PERCENT && next !== COLON
  if ((CLASS[buf[runEnd + 1]] & ALPHA) !== 0) return isLetterNext && (next === 0x20 || next === 0x2d)
  return hasDigits(buf, runEnd, end, DIGITS_MIN - (runEnd - at))
}

/** Whether `missing` more digits follow, in groups with up to three signs between. */
function hasDigits(buf: Uint8Array, from: number, end: number, missing: number): boolean {
  let signs = 0
  for (let pos = from; pos < end && signs <= 3; pos++) {
    const byte = buf[pos]
    if ((CLASS[byte] & DIGIT) !== 0) {
      if (--missing === 0) return true
      signs = 0
    } else if ((CLASS[byte] & ALPHA) !== 0 || byte === COLON || byte === 0x2c || byte === 0x5f) return false
    else signs++
  }
  return false
}

function atMark(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  mask: number,
  matches: Matches,
): void {
  switch (buf[at]) {
    case AT:
      detectEmail(buf, start, end, at, matches)
      return
    case COLON:
      if ((mask & URL_CREDENTIALS) !== 0) detectUrlCredentials(buf, start, end, at, matches)
      if ((mask & IPV6) !== 0) detectIpv6(buf, start, end, at, matches)
      if ((mask & MAC) !== 0) detectMac(buf, start, end, at, matches)
      if ((mask & MEMBER) !== 0) detectMember(buf, start, end, at, mask, matches)
      if ((mask & PARAMETER) !== 0) detectSecretMember(buf, start, end, at, matches)
      return
    case COMMA:
      detectSecretMember(buf, start, end, at, matches)
      return
    case EQUALS:
      if ((mask & PARAMETER) !== 0) {
        detectSecretParameter(buf, start, end, at, matches)
        detectSecretMember(buf, start, end, at, matches)
      }
      if ((mask & MEMBER) !== 0) detectMember(buf, start, end, at, mask, matches)
      return
    case GREATER:
      if ((mask & PARAMETER) !== 0) detectSecretMember(buf, start, end, at, matches)
      if ((mask & MEMBER) !== 0) detectMember(buf, start, end, at, mask, matches)
      return
    case DOT:
      detectProviderToken(buf, start, end, at, matches)
      detectTerraformToken(buf, start, end, at, matches)
      return
    case DASH:
      if ((mask & PRIVATE_KEY) !== 0) detectPrivateKey(buf, end, at, matches)
      if ((mask & TOKEN) !== 0) detectProviderToken(buf, start, end, at, matches)
      if ((mask & PARAMETER) !== 0) detectSecretOption(buf, start, end, at, matches)
      return
    case UNDERSCORE:
    case PLUS:
      detectProviderToken(buf, start, end, at, matches)
      return
    case CAPITAL_B:
    case SMALL_B:
      detectAuthorization(buf, start, end, at, mask, matches)
      return
    case CAPITAL_J:
      detectJwt(buf, start, end, at, matches)
      return
    default:
      atPercent(buf, start, end, at, mask, matches)
  }
}

function atPercent(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  mask: number,
  matches: Matches,
): void {
  switch (percentByte(buf, at, end)) {
    case AT:
      if ((mask & EMAIL) !== 0) detectEmail(buf, start, end, at, matches)
      return
    case EQUALS:
      if ((mask & PARAMETER) !== 0) detectSecretParameter(buf, start, end, at, matches)
      return
    default:
  }
}
