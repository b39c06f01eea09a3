import { describe, expect, test } from 'vitest'
import { identifierName } from '../../../src/detection/names/name-table.ts'
import { find, findBy } from './find.ts'

const encoder = new TextEncoder()

function fieldOf(key: string): string | undefined {
  const bytes = encoder.encode(key)
  return identifierName(bytes, 0, bytes.length)?.field
}

/** One name in the spellings that languages and formats prefer. */
function spellings(words: string): string[] {
  const parts = words.split(' ')
  const capital = (part: string): string => part[0]!.toUpperCase() + part.slice(1)
  const pascal = parts.map(capital).join('')
  return [
    parts.join('_'),
    parts.join('-'),
    parts.join('.'),
    parts.join(''),
    parts.join('_').toUpperCase(),
    pascal,
    pascal[0]!.toLowerCase() + pascal.slice(1),
    `app.${parts.join('_')}`,
    `app.payload${pascal}`,
    `${parts.join('_')}s`,
    `${parts.join('_')}_2`,
  ]
}

test.each([
  ['date of birth', 'birth_date'],
  ['first name', 'name'],
  ['full name', 'name'],
  ['phone number', 'phone'],
  ['street address', 'address'],
  ['home address', 'address'],
  ['national id', 'national_id'],
  ['passport number', 'passport'],
  ['account number', 'bank_account'],
  ['credit card', 'payment_card'],
  ['medical record number', 'medical'],
  ['license plate', 'plate'],
  ['api key', 'credential'],
  ['client secret', 'credential'],
  ['email address', 'email'],
  ['user login', 'user_name'],
])('%s in all spellings is a %s', (words, field) => {
  for (const key of spellings(words)) expect([key, fieldOf(key)]).toEqual([key, field])
})

test.each([
  ['Geburtsdatum', 'birth_date'],
  ['prénom', 'name'],
  ['Straße', 'address'],
  ['numéro_de_téléphone', 'phone'],
  ['contraseña', 'credential'],
  ['инн', 'national_id'],
  ['customerName', 'name'],
  ['customer_name', 'name'],
  ['customer.display-name', 'name'],
  ['customer.инн', 'national_id'],
  ['BSN', 'national_id'],
  ['customer.nit', 'national_id'],
  ['DB_PASSWORD', 'credential'],
  ['newPassword', 'credential'],
  ['accessToken', 'credential'],
  ['X-Api-Key', 'credential'],
  ['customerIDNumber', undefined],
  ['patientSSN', 'national_id'],
  ['payment.pan', 'payment_card'],
  ['payment.cvv', 'card_security'],
])('%s is %s', (key, field) => {
  expect(fieldOf(key)).toBe(field)
})

test.each([
  'name',
  'host.name',
  'service.name',
  'thread.name',
  'file.name',
  'app.screen.name',
  'gen_ai.tool.name',
  'db.collection.name',
  'server.address',
  'ip_address',
  'memory.address',
  'email.template',
  'email_verified_at',
  'phone.os',
  'device.phone_model',
  'password_policy.min_length',
  'password_hash_algorithm',
  'token.count',
  'gen_ai.usage.output_tokens',
  'max_tokens',
  'next_page_token',
  'pageToken',
  'cancellation_token',
  'camera.pan',
  'map.pan',
  'secretariat',
  'tokenizer',
  'birthdate_format',
  'card.count',
  'account.type',
  'plate_count',
  'expand',
  'company',
  'span',
  'nit.count',
  'ci',
  'pin',
  'product.postal_code',
  'street_count',
  'public_key',
  'k8s.secret.name',
  'session.count',
  'passport.service.version',
  'ssn_validator',
  'browser.mobile',
  'order.login',
  'user_agent.name',
  '',
  '_',
  '123',
  'ß',
])('%j says nothing of its value', (key) => {
  expect(fieldOf(key)).toBeUndefined()
})

describe('members of a syntax', () => {
  test.each([
    ['first_name=Ada&last_name=Lovelace&plan=gold', ['Ada', 'Lovelace']],
    ['{"firstName": "Ada", "age": 3}', ['Ada']],
    ['{"firstName":"Ada \\"A\\" L","age":3}', ['Ada \\"A\\" L']],
    ['"{\\"fullName\\":\\"Ada Lovelace\\",\\"n\\":1}"', ['Ada Lovelace']],
    ["{'surname': 'Lovelace'}", ['Lovelace']],
    ['<customer><lastName>Lovelace</lastName></customer>', ['Lovelace']],
    ['name=%D0%90%D0%B4%D0%B0&first_name=%D0%90%D0%B4%D0%B0', ['%D0%90%D0%B4%D0%B0']],
    ['level=info username=ada.l status=ok', ['ada.l']],
    ['{"address":{"street":"12 Main St","city":"X"}}', ['12 Main St']],
    ['home_address="12 Main St, X" n=1', ['12 Main St, X']],
    ['{"lastName":"cut off', ['cut off']],
    ['{"customerName":null,"firstName":"","lastName":"?"}', []],
    ['first_name=$1 AND last_name=:last', []],
    ['first_name={first_name}', []],
    ['firstName: string', []],
    ['SELECT first_name FROM t WHERE last_name = ?', []],
    ['firstName == null', []],
    ['(firstName) => firstName', []],
    ['file_name=report.txt class_name=Order', []],
    ['last name: unknown to us', []],
    ['<lastName>cut off', []],
    ['first_name=[REDACTED]', []],
  ])('%s', (text, found) => {
    expect(findBy('person_field', text)).toEqual(found)
  })

  test.each([
    ['birth_date', '{"dob": "1980-12-31"}', ['1980-12-31']],
    ['birth_date', 'dob=unknown', []],
    ['national_id', '{"taxId":"912-70-1234"}', ['912-70-1234']],
    ['national_id', '{"nationalId":"pending"}', []],
    ['bank_account', '{"accountNumber":"ABCD12345678901234"}', ['ABCD12345678901234']],
    ['payment_card', '{"cvv":"123"}', ['123']],
    ['payment_card', '{"cvv":true}', []],
    ['phone', '{"mobile":"712 345","n":1}', ['712 345']],
    ['phone', '{"phone":"verified"}', []],
    ['phone', '{"phone":301234567}', ['301234567']],
    ['medical', 'insurance_id=XEA12345', ['XEA12345']],
    ['medical', 'diagnosis=failed', []],
    ['plate', '{"licensePlate":"AB12 CDE"}', ['AB12 CDE']],
  ])('%s in %s', (detector, text, found) => {
    expect(findBy(detector, text)).toEqual(found)
  })
})

describe('behind its name in a sentence', () => {
  test.each([
    ['phone', 'Tel. 030 901820', ['030 901820']],
    ['phone', 'please call me back on 030/901820 after five', ['030/901820']],
    ['phone', 'my mobile number is (01) 234 5678.', ['(01) 234 5678']],
    ['phone', 'phone number 001-234-567-8901x234 could not be reached', ['001-234-567-8901x234']],
    ['phone', 'SMS sent to 21 23 45', ['21 23 45']],
    ['phone', 'phone verification took 123456 ms', []],
    ['phone', 'phone lookup of order 123456', []],
    ['phone', 'tel 12', []],
    ['phone', 'mobile app 2024.11.30 started', []],
    ['phone', 'call 123456 times', []],
    ['birth_date', 'born on 31.12.1980 in X', ['31.12.1980']],
    ['birth_date', 'date of birth 12/31/1980', ['12/31/1980']],
    ['birth_date', 'geboren am 3. 12. 1980', []],
    ['birth_date', 'born 31 December 1980', ['31 December 1980']],
    ['birth_date', 'reborn 31.12.1980', []],
    ['birth_date', 'created on 31.12.1980', []],
    ['national_id', 'passport no. C01234567 expired', ['C01234567']],
    ['national_id', "my driver's license number is 6740083", ['6740083']],
    ['national_id', 'EIN 12-3456789 filed', ['12-3456789']],
    ['bank_account', 'bank account 000123456789 credited', ['000123456789']],
    ['bank_account', 'account number of items 123456', []],
    ['bank_account', 'account 123456 created', []],
    ['medical', 'MRN: 00412345', ['00412345']],
    ['plate', 'licence plate XS 4712 entered', ['XS 4712']],
    ['plate', 'plate count 1234567', []],
    ['imei', 'IMEI 49-015420-323751-8', ['49-015420-323751-8']],
    ['imei', 'IMEI 490154203237519', []],
    ['payment_card', 'card # 676178362825 limit', ['676178362825']],
  ])('%s in %j', (detector, text, found) => {
    expect(findBy(detector, text)).toEqual(found)
  })

  test.each([
    'trace 4bf92f3577b34da6a3ce929d0e0e4736 sampled',
    '2025-10-10T13:55:36.123456Z INFO started',
    'offset=1234567 partition=12 lag=99',
    'GET /orders/1234567 200 12ms',
    'retry 3 of 5 in 2000 ms',
    'order 1234567890 shipped to warehouse 12',
    'version: 2024.11.30',
    'card ending in 1111',
    'free memory 123456789 bytes',
  ])('nothing in %j', (text) => {
    expect(find(text)).toEqual([])
  })
})
