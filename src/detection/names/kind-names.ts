// Everything that a text has behind a name, by family.

import { Detector } from '../detectors.ts'
import { ibanEnd } from '../finance/iban.ts'
import { hasLuhnDigit } from '../national/check-digits.ts'
import { GENERAL_NAMES, NATIONAL_NAMES } from '../national/kinds.ts'
import type { Kind, NameRow } from './field.ts'
import { readCard, readDate, readPhone, readPlate } from './readers.ts'

const kind = (
  detector: number,
  rest: Omit<Kind, 'detector' | 'patterns'> & { readonly patterns?: string },
): readonly Kind[] => [{ patterns: '', ...rest, detector }]

const text = (names: string, kinds: readonly Kind[]): NameRow => ({ names, kinds, isText: true })

const DIGITS_6_TO_18 =
  '###### ####### ######## ######### ########## ########### ############ ############# ############## ############### ' +
  '################ ################# ################## ################### #################### ######################'

export const KIND_NAMES: readonly NameRow[] = [
  ...NATIONAL_NAMES,
  ...GENERAL_NAMES,
  text(
    'phone|telephone|phone number|telephone number|tel|tel no|mobile|mobile number|mobile phone|cell|cell phone|cell number|fax|fax number|' +
      'call me|call me at|call me on|call me back|call him at|call her at|reach me at|reach me on|whatsapp|whats app|sms|sms sent|text me|' +
      'msisdn|telefon|telefonnummer|handy|handynummer|rufnummer|telefono|telefone|movil|celular|portable|numero de telephone|telefoonnummer|' +
      'hotline|landline|dial|phone no|call me back at|manager call me|contact number|call us at|call us on|give me a call|call|you can call|messages to|my registered|registered mobile|registered phone',
    kind(Detector.PHONE, { read: readPhone }),
  ),
  text(
    'born|born on|born in|dob|d o b|date of birth|birth date|birthdate|birthday|geboren am|geb|geburtsdatum|ne le|date de naissance|' +
      'fecha de nacimiento|nacido el|data di nascita|nato il|data de nascimento|geboortedatum|geboren op',
    kind(Detector.BIRTH_DATE, { read: readDate }),
  ),
  text(
    'card|card number|credit card|debit card|credit card number|card no|cc|cc number|pan|kreditkarte|kartennummer|carte bancaire|tarjeta|charged|maestro|visa|mastercard',
    kind(Detector.PAYMENT_CARD, { read: readCard }),
  ),
  text(
    'bank account|bank account number|account number|account no|acct|acct no|acct number|account nr|account id number|routing number|aba routing number|' +
      'aba|aba number|beneficiary account|kontonummer|konto nr|konto|kontonr|numero de cuenta|numero de compte|rekeningnummer|account ending|savings account|checking account|bankaccount|bank account no',
    kind(Detector.BANK_ACCOUNT, { patterns: `${DIGITS_6_TO_18} @@@@############## @@@@#############` }),
  ),
  text('sort code', kind(Detector.BANK_ACCOUNT, { patterns: '######' })),
  {
    names: 'cbu|clave bancaria uniforme',
    field: 'bank_account',
    kinds: kind(Detector.BANK_ACCOUNT, { patterns: '######################' }),
  },
  {
    names: 'clabe|clabe interbancaria',
    field: 'bank_account',
    kinds: kind(Detector.BANK_ACCOUNT, { patterns: '##################' }),
  },
  {
    names: 'codigo cuenta corriente',
    field: 'bank_account',
    kinds: kind(Detector.BANK_ACCOUNT, { patterns: '####################' }),
  },
  { names: 'ccc', isPersons: true, field: 'bank_account' },
  text('ccc', kind(Detector.BANK_ACCOUNT, { patterns: '####################' })),
  { names: 'bankaccount|cislo uctu|konto', isPersons: true, field: 'bank_account' },
  text(
    'bankaccount|cislo uctu|bank account',
    kind(Detector.BANK_ACCOUNT, {
      patterns:
        '############### ################## ################ ################# ################### #################### ############## ############# ############ ########### ##########',
    }),
  ),
  text('iban|international bank account number', kind(Detector.IBAN, { read: ibanEnd })),
  text(
    'mrn|medical record|medical record number|medical record no|patient id|patient number|patient no|health insurance number|insurance id|insurance number|' +
      'insurance policy|policy number|member id number|health plan number|health card number|medicaid number|medicaid id|hospital number|chart number|' +
      'krankenversicherungsnummer|versichertennummer',
    kind(Detector.MEDICAL, {
      patterns:
        '##### ###### ####### ######## ######### ########## ########### ############ @##### @###### @####### @######## @######### @@##### @@###### @@####### @@######## @@@##### @@@###### @@@####### @@@######## @@@#########',
    }),
  ),
  text(
    'diagnosis|diagnosis code|icd|icd code|icd 10',
    kind(Detector.MEDICAL, { patterns: '@##### @#### @### @## @##@' }),
  ),
  text(
    'license plate|licence plate|number plate|plate number|registration plate|vehicle registration|kennzeichen|plate|immatriculation|matricula',
    kind(Detector.PLATE, { read: readPlate }),
  ),
  text('vin|vehicle identification number', kind(Detector.PLATE, { patterns: '*****************' })),
  text(
    'imei|international mobile equipment identity|imei number',
    kind(Detector.IMEI, {
      patterns: '############### ################',
      check: (value) => value.length === 16 || hasLuhnDigit(value),
    }),
  ),
  text('imsi|international mobile subscriber identity', kind(Detector.IMEI, { patterns: '###############' })),
  text(
    'meid|mobile equipment identifier',
    kind(Detector.IMEI, { patterns: '************** *************** ##################' }),
  ),
  text(
    'iccid|sim card number',
    kind(Detector.IMEI, { patterns: '89################# 89##################' }),
  ),
]
