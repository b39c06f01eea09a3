// Who a person is. Sealed where a human reads the value (a name, an address, what was said to a model), pseudonymised
// where it is an identifier: then equal users still join and no one is named.
import { ENCRYPT, HASH, type Rule } from '../options.ts'

/** `key` has what counts whatever stands before it: a field's name may be a flag there (`has.phone`), and a miss is worse. */
const fields = (
  name: string,
  dataClass: string,
  field: readonly string[],
  key: readonly string[] = [],
): Rule => ({
  name,
  match: { field, key },
  action: ENCRYPT,
  dataClass,
})

const sealed = (name: string, dataClass: string, key: readonly string[]): Rule => ({
  name,
  match: { key },
  action: ENCRYPT,
  dataClass,
})

export const IDENTITY: readonly Rule[] = [
  {
    // semconv user.*, enduser.* and session.*: identifiers, wanted for "how many users".
    name: 'user identifiers',
    match: {
      key: [
        'user.id',
        'user.hash',
        'enduser.id',
        'enduser.pseudo.id',
        'session.id',
        'session.previous_id',
        'device.id',
        'app.installation.id',
      ],
    },
    action: HASH,
    dataClass: 'user',
  },
  fields('e-mail addresses by key', 'email', ['email'], ['*.email', '*_email', '*.email_address']),
  fields(
    'names of people',
    'name',
    ['name'],
    [
      'enduser.name',
      '*.full_name',
      '*.first_name',
      '*.last_name',
      '*.firstname',
      '*.lastname',
      '*.fullname',
      '*.surname',
    ],
  ),
  fields('user names', 'user', ['user_name'], ['user.name']),
  fields(
    'telephone numbers by key',
    'phone',
    ['phone'],
    ['*.phone', '*.phone_number', '*.phonenumber', '*.msisdn'],
  ),
  fields('dates of birth', 'birth_date', ['birth_date']),
  fields('national identifiers', 'national_id', ['national_id']),
  fields('passports', 'passport', ['passport']),
  fields('patient identifiers', 'patient', ['medical']),
  fields('number plates', 'plate', ['plate']),
  fields('device identifiers', 'device', ['device']),
  fields('addresses of people', 'location', ['address']),
  // Coordinates and postal codes of a caller (semconv geo.*); country and region stay, they name nobody.
  sealed('locations', 'location', ['geo.location.*', 'geo.lat', 'geo.lon', 'geo.postal_code']),
  // Conversations hold whatever people type. semconv gen_ai.*, with the names that older instrumentation uses.
  sealed('conversations with models', 'prompt', [
    'gen_ai.input.messages',
    'gen_ai.output.messages',
    'gen_ai.system_instructions',
    'gen_ai.tool.call.arguments',
    'gen_ai.tool.call.result',
    'gen_ai.prompt',
    'gen_ai.prompt.*.content',
    'gen_ai.completion',
    'gen_ai.completion.*.content',
  ]),
  // The values that semconv keeps out of the query text end up here.
  sealed('query parameters', 'query_parameter', ['db.query.parameter.*', 'db.operation.parameter.*']),
  { name: 'e-mail addresses', match: { detector: ['email'] }, action: ENCRYPT, dataClass: 'email' },
  { name: 'social security numbers', match: { detector: ['us_ssn'] }, action: ENCRYPT, dataClass: 'us_ssn' },
  {
    name: 'national numbers',
    match: { detector: ['national_id'] },
    action: ENCRYPT,
    dataClass: 'national_id',
  },
  { name: 'telephone numbers', match: { detector: ['phone'] }, action: ENCRYPT, dataClass: 'phone' },
  { name: 'birthdays', match: { detector: ['birth_date'] }, action: ENCRYPT, dataClass: 'birth_date' },
  { name: 'medical numbers', match: { detector: ['medical'] }, action: ENCRYPT, dataClass: 'patient' },
  { name: 'plates in text', match: { detector: ['plate'] }, action: ENCRYPT, dataClass: 'plate' },
  { name: 'devices in text', match: { detector: ['imei', 'mac'] }, action: HASH, dataClass: 'device' },
  {
    name: 'people in named fields',
    match: { detector: ['person_field'] },
    action: ENCRYPT,
    dataClass: 'name',
  },
]
