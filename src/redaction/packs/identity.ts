// Who a person is. Sealed where a human reads the value (a name, an address, what was said to a model), pseudonymised
// where it is an identifier: then equal users still join and no one is named.
import { ENCRYPT, HASH, type Rule } from '../options.ts'

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
  sealed('e-mail addresses by key', 'email', [
    'email',
    '*.email',
    '*_email',
    '*.email_address',
    'email_address',
  ]),
  sealed('names of people', 'name', [
    'user.name',
    'user.full_name',
    'enduser.name',
    'full_name',
    '*.full_name',
    'first_name',
    '*.first_name',
    'last_name',
    '*.last_name',
    'firstname',
    '*.firstname',
    'lastname',
    '*.lastname',
    'fullname',
    '*.fullname',
    'surname',
    '*.surname',
    'patient.name',
    'customer.name',
  ]),
  sealed('telephone numbers by key', 'phone', [
    'phone',
    '*.phone',
    '*.phone_number',
    'phone_number',
    'phonenumber',
    '*.phonenumber',
    'msisdn',
    '*.msisdn',
  ]),
  sealed('dates of birth', 'birth_date', [
    '*.birth_date',
    '*.date_of_birth',
    'date_of_birth',
    'dob',
    '*.dob',
    'birthdate',
    '*.birthdate',
    'dateofbirth',
    '*.dateofbirth',
  ]),
  sealed('national identifiers', 'us_ssn', [
    'ssn',
    '*.ssn',
    '*.social_security_number',
    'social_security_number',
  ]),
  sealed('passports', 'passport', ['passport', '*.passport', 'passport_number', '*.passport_number']),
  sealed('patient identifiers', 'patient', ['patient.id', 'patient.mrn', '*.medical_record_number']),
  // Coordinates and postal codes of a caller (semconv geo.*); country and region stay, they name nobody.
  sealed('locations', 'location', [
    'geo.location.*',
    'geo.lat',
    'geo.lon',
    'geo.postal_code',
    'street_address',
    '*.street_address',
    '*.address.street',
    '*.street',
  ]),
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
  { name: 'telephone numbers', match: { detector: ['phone'] }, action: ENCRYPT, dataClass: 'phone' },
]
