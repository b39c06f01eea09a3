// The detectors' numbers and names. A number is a bit in masks and an index in tables, so they are dense.

export const Detector = {
  EMAIL: 0,
  PAYMENT_CARD: 1,
  US_SSN: 2,
  IPV4: 3,
  IPV6: 4,
  PHONE: 5,
  IBAN: 6,
  JWT: 7,
  BEARER: 8,
  BASIC: 9,
  URL_CREDENTIALS: 10,
  SECRET_PARAMETER: 11,
  NATIONAL_ID: 12,
  BANK_ACCOUNT: 13,
  BIRTH_DATE: 14,
  MEDICAL: 15,
  PLATE: 16,
  IMEI: 17,
  MAC: 18,
  PERSON_FIELD: 19,
  PROVIDER_TOKEN: 20,
  PRIVATE_KEY: 21,
} as const
export type Detector = (typeof Detector)[keyof typeof Detector]

export const DETECTOR_COUNT = Object.keys(Detector).length
/** Matches of user-supplied patterns are numbered from here on. */
export const PATTERN_SOURCE = 32

export interface DetectorInfo {
  readonly id: Detector
  /** As rules name it. */
  readonly name: string
  readonly description: string
  /** Data class of what it finds, unless its rule names one. */
  readonly dataClass: string
}

const info = (id: Detector, name: string, description: string, dataClass = name): DetectorInfo => ({
  id,
  name,
  description,
  dataClass,
})

/** In the order of their numbers. */
export const DETECTORS: readonly DetectorInfo[] = [
  info(Detector.EMAIL, 'email', 'e-mail addresses, also percent-encoded and internationalised'),
  info(
    Detector.PAYMENT_CARD,
    'payment_card',
    'payment card numbers: 13 to 19 digits, known issuer, Luhn check digit',
  ),
  info(Detector.US_SSN, 'us_ssn', 'US social security numbers: 3-2-4 digits in assigned ranges'),
  info(Detector.IPV4, 'ipv4', 'IPv4 addresses; not versions, loopback or unspecified', 'ip'),
  info(Detector.IPV6, 'ipv6', 'IPv6 addresses; not loopback or unspecified', 'ip'),
  info(Detector.PHONE, 'phone', 'telephone numbers: E.164 with its +, and formatted North American ones'),
  info(Detector.IBAN, 'iban', "bank accounts: the country's length and the mod-97 check"),
  info(Detector.JWT, 'jwt', 'JSON Web Tokens whose header names an algorithm', 'credential'),
  info(Detector.BEARER, 'bearer', 'what follows "Bearer" in an Authorization header', 'credential'),
  info(Detector.BASIC, 'basic', 'what follows "Basic" and decodes to user:password', 'credential'),
  info(
    Detector.URL_CREDENTIALS,
    'url_credentials',
    'user:password@ in URLs and connection strings',
    'credential',
  ),
  info(
    Detector.SECRET_PARAMETER,
    'secret_parameter',
    'values of token=, password=, api_key= and the like in URLs, forms and logs',
    'credential',
  ),
  info(
    Detector.NATIONAL_ID,
    'national_id',
    'personal numbers of over 80 countries behind their names, with their check digits; passports, driving licences, tax numbers',
  ),
  info(Detector.BANK_ACCOUNT, 'bank_account', 'account, routing and sort codes behind their names'),
  info(Detector.BIRTH_DATE, 'birth_date', 'dates behind "born", "date of birth" and the like'),
  info(Detector.MEDICAL, 'medical', 'medical record, insurance and diagnosis codes behind their names'),
  info(Detector.PLATE, 'plate', 'number plates and vehicle identification numbers behind their names'),
  info(Detector.IMEI, 'imei', 'IMEI, IMSI, MEID and SIM numbers behind their names', 'device'),
  info(Detector.MAC, 'mac', 'MAC addresses: six pairs with colons or dashes', 'device'),
  info(
    Detector.PERSON_FIELD,
    'person_field',
    'names, user names and addresses of people in key=value, JSON and XML, by what the key says',
    'person',
  ),
  info(
    Detector.PROVIDER_TOKEN,
    'provider_token',
    'tokens and keys of some 200 providers, by prefix, characters and length',
    'credential',
  ),
  info(Detector.PRIVATE_KEY, 'private_key', 'private keys in PEM, also escaped or cut', 'credential'),
]

const byName: ReadonlyMap<string, DetectorInfo> = new Map(
  DETECTORS.map((detector) => [detector.name, detector]),
)

export function detectorByName(name: string): DetectorInfo | undefined {
  return byName.get(name)
}
