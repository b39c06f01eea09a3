// Names that say what is under them, one line a field and reason. Spelled as words; how they are put together does not
// matter, and neither does a plural. A name is the end of a key: `email.template` and `password_length` are about something
// else. Words so common that they say it of people only (`name`, `address`) stand behind a word for a person.

import type { NameRow } from './field.ts'

/** Words for people, and for what is done for one: a name or an address behind them is a person's. */
export const PEOPLE: ReadonlySet<string> = new Set(
  (
    'customer customers client patient user users person people employee staff contact member guest passenger recipient receiver ' +
    'sender beneficiary payee payer debtor creditor buyer seller shopper purchaser consumer subscriber applicant candidate borrower ' +
    'driver student pupil teacher doctor physician parent mother father spouse child guardian holder cardholder accountholder ' +
    'billing shipping delivery invoice visitor attendee signer signatory enduser insured claimant donor resident citizen lead ' +
    'prospect addressee kin nominee caller callee traveler traveller voter caregiver kunde kunden cliente utilisateur benutzer owner'
  ).split(' '),
)

/** Accounts that programs have. */
const MACHINES = ['db', 'database', 'service', 'bot', 'robot', 'machine', 'system']

export const FIELD_NAMES: readonly NameRow[] = [
  {
    field: 'name',
    names:
      'first name|last name|full name|given name|family name|middle name|maiden name|birth name|surname|forename|' +
      'second name|legal name|preferred name|nick name|christian name|fname|lname|mothers maiden name|' +
      'vorname|nachname|familienname|geburtsname|prenom|nom de famille|nombre completo|apellido|apellidos|primer apellido|' +
      'cognome|sobrenome|nome completo|achternaam|voornaam|etternavn|fornavn|efternamn|fornamn|imie|nazwisko',
    not: ['font', 'file', 'class', 'host', 'domain'],
  },
  {
    field: 'name',
    names: 'name|display name|real name',
    isPersons: true,
  },
  {
    field: 'name',
    names:
      'cardholder|card holder|account holder|account owner|policy holder|recipient|addressee|shipping recipient|name on card|kontoinhaber',
    not: ['message', 'mail', 'webhook', 'event', 'notification'],
  },
  {
    field: 'user_name',
    names:
      'username|user login|login name|login id|account username|nickname|user handle|userid login|benutzername|login user',
    not: MACHINES,
  },
  { field: 'user_name', names: 'login|user name', isWhole: true },
  {
    field: 'email',
    names:
      'email|e mail|email address|mail address|email addr|e mail address|reply to address|correo electronico|courriel',
    not: ['is', 'has', 'verify', 'send', 'no', 'reset', 'enable', 'feature', 'confirm'],
  },
  {
    field: 'phone',
    names:
      'phone|telephone|phone number|telephone number|phone no|tel no|tel number|mobile number|mobile no|mobile phone|cell phone|' +
      'cell number|msisdn|fax number|home phone|work phone|phone nr|contact number|whats app number|telefon|telefonnummer|' +
      'handynummer|rufnummer|mobilnummer|telefono|telefone|celular|numero de telephone|telefoonnummer',
    not: ['is', 'has', 'verify', 'send', 'enable', 'device', 'feature', 'confirm', 'type'],
  },
  { field: 'email', names: 'mail', isPersons: true },
  { field: 'phone', names: 'mobile|tel|cell|fax|landline', isPersons: true },
  { field: 'phone', names: 'tel|mobile|fax|cell', isWhole: true },
  {
    field: 'address',
    names:
      'home address|street address|postal address|mailing address|work address|residential address|' +
      'permanent address|street|street name|street line|address street|address line|addr line|street number|house number|' +
      'address text|address full|full address|place of residence|residence address|strasse|hausnummer|anschrift|adresse postale|' +
      'direccion postal|domicilio|indirizzo|address zip|p o box|po box',
    not: ['email', 'mail', 'ip', 'mac', 'wall', 'main'],
  },
  {
    field: 'address',
    names: 'address|zip|post code|postal code|zip code|plz|postleitzahl|code postal',
    isPersons: true,
  },
  {
    field: 'birth_date',
    names:
      'birth date|date of birth|birthday|birth day|dob|d o b|date birth|born on|born at|birth dt|dt of birth|birth year|year of birth|' +
      'geburtsdatum|geburtstag|date de naissance|fecha de nacimiento|fecha nacimiento|data di nascita|data de nascimento|' +
      'geboortedatum|fodselsdato|fodelsedatum|data urodzenia|syntymaaika|datum narozeni|birth time',
  },
  {
    field: 'national_id',
    names:
      'national id|national identifier|national id number|national number|national identity number|national identification number|' +
      'citizen id|citizen number|personal id number|personal id|personal identity number|personal identification number|' +
      'personal identity code|personal number|identity number|identity card|identity card number|id card|id card number|identity document|' +
      'identity document number|id document number|government id|state id|social security number|social security no|social security|' +
      'social insurance number|ssn|sin number|nin number|tax id|tax number|tax no|tax identifier|tax identification number|taxpayer id|' +
      'taxpayer number|taxpayer identification number|tax file number|tax payer id|tax code|vat id|vat number|vat no|vat reg no|' +
      'voter id|voter number|driver license|drivers license|driving license|driver licence|drivers licence|driving licence|' +
      'driver license number|drivers license number|driving licence number|driving license number|drivers licence number|' +
      'license number driver|dl number|fuhrerschein|fuhrerscheinnummer|permis de conduire|residence permit|residence permit number|' +
      'ausweisnummer|personalausweis|personalausweisnummer|steuer id|steuernummer|steueridentifikationsnummer|' +
      'numero de identidad|documento de identidad|carte d identite|codigo fiscal|numero fiscal|alien number|visa number|green card number',
    not: ['http', 'federal'],
  },
  {
    field: 'passport',
    names:
      'passport|passport number|passport no|passport id|passport nr|passport num|travel document number|travel document|travel document no|' +
      'reisepass|reisepassnummer|passnummer|numero de passeport|numero de pasaporte|pasaporte|paspoortnummer',
  },
  {
    field: 'bank_account',
    names:
      'iban|account number|account no|account nr|acct number|acct no|acct num|account num|bank account|bank account number|bank account no|' +
      'beneficiary account|routing number|routing no|aba number|sort code|bank code|kontonummer|konto nr|bankleitzahl|' +
      'numero de cuenta|numero de compte|numero di conto|rekeningnummer|kontonr|clabe|debit account|credit account|iban number',
    not: ['arabic'],
  },
  {
    field: 'payment_card',
    names:
      'card number|card no|card nr|card num|credit card|credit card number|debit card|debit card number|cc number|cc num|cc no|pan number|' +
      'primary account number|payment card|payment card number|kartennummer|kreditkarte|kreditkartennummer|numero de carte|numero de tarjeta|' +
      'tarjeta de credito|card pan',
    not: ['id', 'report', 'network', 'graphics', 'sd', 'sim'],
  },
  {
    field: 'payment_card',
    names: 'pan',
    not: [
      'camera',
      'mouse',
      'map',
      'tilt',
      'gesture',
      'ptz',
      'audio',
      'stereo',
      'view',
      'viewport',
      'enable',
      'on',
    ],
  },
  {
    field: 'card_security',
    names:
      'cvv|cvc|cvn|csc code|card security code|card verification value|card verification code|card verification number|security code card|cvv code|cvc code|prufziffer karte',
  },
  {
    field: 'medical',
    names:
      'diagnosis|diagnoses|diagnosis code|medical record number|medical record no|medical record|mrn|patient id|patient mrn|patient number|' +
      'patient identifier|health record|health id|health number|health card number|health insurance number|health plan id|health plan number|' +
      'insurance id|insurance number|insurance policy number|insurance member id|medicare number|medicaid number|medicaid id|blood type|' +
      'blood group|allergy|allergies|medication|medications|prescription|prescriptions|symptoms|treatment plan|medical condition|icd code|icd 10|' +
      'lab result|krankenversicherungsnummer|versichertennummer|diagnose code',
    not: ['self', 'disk', 'error', 'node', 'network', 'auto'],
  },
  {
    field: 'plate',
    names:
      'license plate|licence plate|plate number|number plate|licence plate number|license plate number|vehicle registration|' +
      'vehicle registration number|registration plate|kennzeichen|kfz kennzeichen|plate no|immatriculation|matricula vehiculo|vehicle plate|vin number|' +
      'vehicle identification number|vehicle vin',
  },
  {
    field: 'device',
    names:
      'imei|imsi|meid|iccid|device serial number|device imei|advertising id|idfa|gaid|android id|vendor id for advertising|mac address|mac addr',
    not: ['host', 'interface', 'nic'],
  },
  {
    field: 'credential',
    names:
      'password|passwd|passphrase|pass phrase|pwd|api key|api secret|secret key|secret access key|access key secret|client secret|' +
      'app secret|application secret|shared secret|signing secret|webhook secret|consumer secret|master key|encryption key|private key|signing key|' +
      'access token|refresh token|id token|auth token|oauth token|bearer token|session token|csrf token|xsrf token|api token|jwt|' +
      'security token|access key|account key|service account key|connection string|kennwort|passwort|contrasena|mot de passe|wachtwoord|' +
      'x api key|x auth token|authorization|proxy authorization|cookie|set cookie|session cookie|auth cookie|totp secret|otp code|' +
      'one time password|recovery code|backup code|security answer|security question answer|credentials',
    not: [
      'public',
      'has',
      'is',
      'no',
      'reset',
      'forgot',
      'change',
      'max',
      'min',
      'requires',
      'use',
      'http',
      'allow',
      'enable',
      'show',
      'with',
    ],
  },
  {
    field: 'credential',
    names: 'token|secret',
    not: [
      'max',
      'min',
      'page',
      'next',
      'prev',
      'previous',
      'continuation',
      'sync',
      'cancel',
      'cancellation',
      'first',
      'last',
      'total',
      'prompt',
      'completion',
      'input',
      'output',
      'is',
      'has',
      'no',
      'k8s',
      'kubernetes',
      'eos',
      'bos',
      'pad',
      'stop',
      'start',
      'per',
      'reasoning',
      'cached',
      'number',
      'count',
      'used',
      'unexpected',
      'expected',
      'resume',
      'pagination',
      'paging',
      'fencing',
      'nft',
      'erc',
      'trade',
      'ks',
      'k',
      's',
    ],
  },
]
