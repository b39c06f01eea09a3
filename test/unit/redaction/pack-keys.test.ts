// Keys that the packs protect whatever stands before them: a word in front must not turn a password into a flag.
import { expect, test } from 'vitest'
import { REDACTION_DEFAULTS } from '../../../src/redaction/options.ts'
import { PACKS } from '../../../src/redaction/packs/packs.ts'
import { redact } from '../../../src/redaction/redact.ts'
import { compileRules } from '../../../src/redaction/rules.ts'
import { jsonToProtobuf } from '../../../src/wire/json.ts'

const rules = compileRules({ ...REDACTION_DEFAULTS, packs: PACKS.map(({ name }) => name) })
const tenants = [{ tenant: 'acme', sealer: 'mask', pseudonymizer: 'mask' }] as const
const VALUE = 'zq-opaque_Value'

const BEFORE = [
  'app.user.',
  'x.',
  'public.',
  'is.',
  'has.',
  'no.',
  'max.',
  'next.page.',
  'file.',
  'é.',
  '9.',
  'a/b.',
]
const WORDS = [
  ...['password', 'passwd', 'pwd', 'passphrase', 'secret', 'client_secret', 'private_key'],
  ...['api_key', 'apikey', 'access_token', 'refresh_token', 'id_token', 'auth_token', 'cvv', 'cvc'],
  ...['email', 'email_address', 'phone', 'phone_number', 'msisdn', 'first_name', 'last_name', 'full_name'],
  ...['surname', 'card_number', 'credit_card', 'iban', 'ssn', 'passport', 'dob', 'date_of_birth'],
]
const JOINED = [
  'my_password',
  'my_secret',
  'my_api_key',
  'my_email',
  'my_iban',
  'usercardnumber',
  'mycreditcard',
]
const KEYS = [...BEFORE.flatMap((before) => WORDS.map((word) => before + word)), ...WORDS, ...JOINED]

test.each(KEYS.flatMap((key) => [key, key.toUpperCase()]))('%s', (key) => {
  const attributes = [{ key, value: { stringValue: VALUE } }]
  const ids = { traceId: '5b8efff798038103d269b633813fc60c', spanId: 'eee19b7ec3c1b174' }
  const request = { resourceSpans: [{ scopeSpans: [{ spans: [{ ...ids, name: 'n', attributes }] }] }] }
  const body = jsonToProtobuf(Buffer.from(JSON.stringify(request)), 'traces')
  expect(Buffer.from(redact(body, 'traces', rules, tenants).body).includes(VALUE)).toBe(false)
})
