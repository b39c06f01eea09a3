// Personal numbers by country: what people call them, what they look like, and how to tell them from other numbers. Most
// have a check digit, and still nine digits with one are nothing without their name: one in eleven has it by chance.
// Names: those under `names` say by themselves, also as keys, that a value is one; `persons` do so behind a word for a
// person (`customer.nit`); `texts` are too common for keys (`pin`), and the number decides.
// One table, a row or some for each of more than 80 countries, and so as long as it is.

import { Detector } from '../detectors.ts'
import type { Kind, NameRow } from '../names/field.ts'
import { hasLuhnDigit, hasMod112Digit, hasMod1110Digit, hasVerhoeffDigit } from './check-digits.ts'
import * as check from './checks.ts'

interface Row {
  readonly names?: string
  readonly persons?: string
  readonly texts?: string
  readonly patterns: string
  readonly check?: (text: string) => boolean
  /** Where one has a detector of its own. */
  readonly detector?: number
}

export const NATIONAL_KINDS: Readonly<Record<string, Row>> = {
  ae_id: { names: 'emirates id|emirates id number', patterns: '###############', check: check.emirates },
  al_nid: {
    names: 'numri personal|albanian identity number|letternjoftimi',
    texts: 'nid',
    patterns: '@########@',
  },
  am_ssn: { names: 'armenian social services number|psn armenia', patterns: '##########' },
  ar_cuil: {
    names: 'cuil|cuit|codigo unico de identificacion laboral|codigo unico de identificacion tributaria',
    patterns: '###########',
    check: check.argentina,
  },
  ar_dni: { names: 'documento nacional de identidad|dni', patterns: '######## #######' },
  at_tin: { names: 'abgabenkontonummer', texts: 'tin', patterns: '#########', check: hasLuhnDigit },
  at_vnr: {
    names: 'svnr|vsnr|versicherungsnummer|sozialversicherungsnummer',
    persons: 'vnr',
    texts: 'vnr|sv nummer',
    patterns: '##########',
    check: check.austriaSocial,
  },
  au_medicare: {
    names: 'medicare card number|medicare number',
    patterns: '########## ###########',
    check: check.australiaMedicare,
  },
  au_tfn: { names: 'tfn|tax file number', patterns: '######### ########', check: check.australiaTax },
  az_fin: { names: 'fin code|azerbaijani personal code', patterns: '*******' },
  be_eid: {
    names: 'eid number|belgian identity card number|electronic identity card number',
    texts: 'eid',
    patterns: '############',
    check: check.belgiumCard,
  },
  be_nn: {
    names: 'rijksregisternummer|numero de registre national|niss|insz|numero national',
    persons: 'rrn',
    texts: 'nn|rrn|ssn',
    patterns: '###########',
    check: check.belgium,
  },
  bg_egn: { names: 'egn|егн|единен граждански номер', patterns: '##########', check: check.bulgaria },
  bh_cpr: { names: 'bahrain id|bahrain cpr', texts: 'cpr', patterns: '#########' },
  br_cpf: { names: 'cpf|cadastro de pessoas fisicas', patterns: '###########', check: check.brazil },
  by_pn: { names: 'идентификационный номер', patterns: '#######@###@@#' },
  ca_phn: {
    names: 'phn|personal health number|bc phn|provincial health number',
    patterns: '##########',
    check: check.britishColumbia,
  },
  ca_sin: {
    names: 'social insurance number|sin number',
    texts: 'sin',
    patterns: '#########',
    check: check.canadaSocial,
  },
  ch_ahv: {
    names:
      'ahv nummer|ahv nr|ahv number|numero avs|numero ahv|ahvn13|navs13|swiss social security number|sozialversicherungsnummer',
    persons: 'ahv|avs',
    texts: 'ahv|avs|ssn',
    patterns: '756##########',
    check: check.eanDigit,
  },
  cl_rut: {
    names: 'rol unico tributario|rol unico nacional',
    persons: 'rut|run',
    texts: 'rut',
    patterns: '########* #######*',
    check: check.chile,
  },
  cn_ric: {
    names: 'resident identity card number|shenfenzheng|身份证号|公民身份号码|身份证',
    persons: 'ric',
    texts: 'ric|ric no',
    patterns: '#################*',
    check: hasMod112Digit,
  },
  co_nit: {
    names: 'cedula de ciudadania|numero de identificacion tributaria',
    persons: 'nit',
    texts: 'nit',
    patterns: '######## ######### ########## ###########',
    check: check.colombia,
  },
  cr_cpf: { names: 'cedula de persona fisica|cedula fisica|cpf', patterns: '######### ##########' },
  cr_cr: { names: 'cedula de residencia|dimex', texts: 'cr', patterns: '1########## 1###########' },
  cu_ni: {
    names: 'carnet de identidad|numero de identidad',
    texts: 'ni',
    patterns: '###########',
    check: check.cuba,
  },
  cy_tic: { names: 'cyprus tax identification code|cyprus tic', patterns: '########@' },
  cz_rc: {
    names: 'rodne cislo|rodcis',
    texts: 'rc|rc cislo',
    patterns: '########## #########',
    check: check.czechSlovak,
  },
  de_idnr: {
    names:
      'steuerliche identifikationsnummer|steueridentifikationsnummer|steuer id nr|steuer idnr|tax id germany',
    persons: 'idnr',
    texts: 'idnr|steuer id|id nr',
    patterns: '###########',
    check: check.germanTaxId,
  },
  de_stnr: { names: 'steuernummer|st nr|stnr', patterns: '########## ########### #############' },
  dk_cpr: {
    names: 'cpr nummer|cpr number|cpr nr|cpr|personnummer',
    patterns: '##########',
    check: check.denmark,
  },
  do_cedula: { names: 'cedula|cedula de identidad y electoral', patterns: '###########' },
  dz_nin: {
    names: 'numero d identification national',
    persons: 'nin',
    texts: 'nin',
    patterns: '##################',
  },
  ec_ci: { names: 'cedula de identidad|cedula', texts: 'ci', patterns: '##########', check: check.ecuador },
  ee_ik: {
    names: 'isikukood',
    persons: 'ik',
    texts: 'ik',
    patterns: '###########',
    check: check.estoniaLithuania,
  },
  eg_nid: { names: 'egyptian national id|الرقم القومي', patterns: '##############', check: check.egypt },
  es_dni: { names: 'dni|documento nacional de identidad', patterns: '########@', check: check.spain },
  es_nie: {
    names: 'numero de identificacion de extranjero|numero de identidad de extranjero|nie',
    patterns: '@#######@',
    check: check.spainForeign,
  },
  es_nif: {
    names: 'nif|numero de identificacion fiscal',
    patterns: '@#######@ ########@ @########',
    check: (text) =>
      /^\d/.test(text) ? check.spain(text) : check.spainForeign(text) || check.spainTax(text),
  },
  fi_hetu: {
    names: 'hetu|henkilotunnus|henkilotunnuksen',
    patterns: '######@###* #########*',
    check: check.finland,
  },
  fr_nif: {
    names: 'numero d immatriculation fiscale|numero fiscal de reference|spi fiscal',
    texts: 'nif|numero fiscal',
    patterns: '#############',
    check: check.franceTax,
  },
  fr_nir: {
    names: 'numero de securite sociale|numero d inscription au repertoire|insee number|numero insee',
    persons: 'nir',
    texts: 'nir|insee',
    patterns: '#####**########',
    check: check.france,
  },
  gb_nhs: {
    names: 'nhs number|nhs no|national health service number|nhs',
    patterns: '##########',
    check: check.nhs,
  },
  gb_nino: {
    names: 'national insurance number|national insurance no|nino|ni number',
    patterns: '@@######@',
    check: check.ukInsurance,
  },
  gb_upn: {
    names: 'unique pupil number',
    persons: 'upn',
    texts: 'upn',
    patterns: '@############',
    check: check.ukPupil,
  },
  gb_utr: {
    names: 'unique taxpayer reference|self assessment utr',
    persons: 'utr',
    texts: 'utr',
    patterns: '##########',
    check: check.ukTax,
  },
  ge_pn: { names: 'პირადი ნომერი|georgian personal number', patterns: '###########' },
  gh_card: { names: 'ghana card|ghana card number|ghanacard', patterns: 'GHA##########' },
  gn_nifp: {
    names: 'nifp|numero d identification fiscale permanent',
    patterns: '#########',
    check: hasLuhnDigit,
  },
  gr_afm: { names: 'afm|αφμ|ΑΦΜ', patterns: '#########', check: check.greeceTax },
  gr_amka: {
    names: 'amka|αμκα|ΑΜΚΑ|αριθμος μητρωου κοινωνικης ασφαλισης|Αριθμός Μητρώου Κοινωνικής Ασφάλισης',
    patterns: '###########',
    check: check.greeceSocial,
  },
  gt_nit: {
    names: 'numero de identificacion tributaria',
    persons: 'nit',
    texts: 'nit',
    patterns: '######* #######* ########* #########*',
    check: check.guatemala,
  },
  hk_hkid: { names: 'hkid|hong kong identity card', patterns: '@######* @@######*', check: check.hongKong },
  hr_oib: {
    names: 'oib|osobni identifikacijski broj',
    patterns: '########### HR###########',
    check: (text) => hasMod1110Digit(text.slice(-11)),
  },
  hu_taj: {
    names: 'taj szam|tajszam|taj number',
    persons: 'taj',
    texts: 'taj',
    patterns: '#########',
    check: check.hungarySocial,
  },
  hu_tax: { names: 'adoazonosito jel|adoazonosito', patterns: '8#########', check: check.hungaryTax },
  id_nik: {
    names: 'nomor induk kependudukan|nomor ktp',
    persons: 'nik|ktp',
    texts: 'nik|ktp',
    patterns: '################',
    check: check.indonesia,
  },
  ie_pps: {
    names: 'pps no|pps number|ppsn|personal public service number',
    persons: 'pps',
    texts: 'pps',
    patterns: '#######@ #######@@',
    check: check.ireland,
  },
  il_id: {
    names: 'mispar zehut|teudat zehut|תעודת זהות|מספר זהות',
    persons: 'idnr',
    texts: 'idnr|identity number',
    patterns: '######### ########',
    check: hasLuhnDigit,
  },
  in_aadhaar: {
    names: 'aadhaar|aadhar|aadhaar number|aadhar number|uidai',
    patterns: '############',
    check: check.aadhaar,
  },
  in_epic: {
    names: 'electoral photo identity card|epic number|epic no',
    persons: 'epic',
    texts: 'epic',
    patterns: '@@@#######',
    check: check.indiaVoter,
  },
  in_pan: {
    names: 'permanent account number|pan card|pan card number',
    texts: 'pan',
    patterns: '@@@@@####@',
    check: check.indiaTax,
  },
  in_vid: {
    names: 'virtual identity number|aadhaar vid',
    texts: 'vid',
    patterns: '################',
    check: hasVerhoeffDigit,
  },
  ir_meli: { names: 'code melli|kode melli|کد ملی', patterns: '##########', check: check.iran },
  is_kt: { names: 'kennitala', patterns: '##########', check: check.iceland },
  it_cf: {
    names: 'codice fiscale|codicefiscale',
    patterns: '@@@@@@**@**@***@ ###########',
    check: check.italy,
  },
  jp_mynumber: {
    names: 'my number japan|個人番号|マイナンバー|mynumber',
    texts: 'my number',
    patterns: '############',
    check: check.japan,
  },
  ke_pin: { names: 'kra pin', texts: 'pin', patterns: 'A#########@ P#########@' },
  kr_rrn: {
    names: 'resident registration number|주민등록번호',
    persons: 'rrn',
    texts: 'rrn',
    patterns: '#############',
    check: check.korea,
  },
  kw_civil: {
    names: 'kuwait civil id|civil id number|civil id',
    patterns: '############',
    check: check.kuwait,
  },
  kz_iin: {
    names: 'иин|жсн',
    persons: 'iin',
    texts: 'iin',
    patterns: '############',
    check: check.kazakhstan,
  },
  li_peid: {
    names: 'peid|personenidentifikationsnummer',
    patterns: '#### ##### ###### ####### ######## ######### ########## ########### ############',
  },
  lk_nic: {
    names: 'nic number|sri lanka nic|national identity card number',
    patterns: '#########V #########X ############',
  },
  lt_ak: {
    names: 'asmens kodas',
    persons: 'asmens',
    texts: 'asmens',
    patterns: '###########',
    check: check.estoniaLithuania,
  },
  lu_ssn: {
    names: 'matricule nationale|numero matricule|luxembourg matricule',
    patterns: '#############',
    check: check.luxembourg,
  },
  lv_pk: { names: 'personas kods', texts: 'pk', patterns: '###########', check: check.latvia },
  ma_cin: { names: 'carte nationale d identite|cnie', patterns: '@###### @##### @@##### @@###### @@####' },
  md_idnp: { names: 'idnp', patterns: '#############', check: check.moldova },
  mt_id: { names: 'karta tal identita|maltese identity card', patterns: '#######@' },
  mu_nid: {
    names: 'mauritian national identifier',
    persons: 'nid',
    texts: 'nid|id number',
    patterns: '@############*',
    check: check.mauritius,
  },
  mx_curp: {
    names: 'curp|clave unica de registro de poblacion',
    patterns: '@@@@######@@@@@@**',
    check: check.mexicoPopulation,
  },
  mx_rfc: {
    names: 'registro federal de contribuyentes',
    persons: 'rfc',
    texts: 'rfc',
    patterns: '@@@@######*** @@@######*** @@@@######',
    check: check.mexicoTax,
  },
  my_nric: {
    names: 'mykad|kad pengenalan|nric|nric no|nric number',
    patterns: '############',
    check: check.malaysia,
  },
  mz_nuit: {
    names: 'nuit|numero unico de identificacao tributaria',
    patterns: '#########',
    check: check.mozambique,
  },
  ng_nin: {
    names: 'nigerian nin|national identification number nigeria',
    persons: 'nin',
    texts: 'nin|bvn',
    patterns: '###########',
  },
  nl_bsn: {
    names: 'bsn|burgerservicenummer|sofinummer|sofi nummer',
    patterns: '######### ########',
    check: (text) => check.netherlands(text.padStart(9, '0')),
  },
  nl_pupil: {
    names: 'onderwijsnummer|persoonsgebonden nummer',
    patterns: '#########',
    check: check.netherlandsPupil,
  },
  nl_passport: { names: 'identiteitskaartnummer|paspoortnummer', patterns: '@@******#' },
  no_fnr: {
    names: 'fodselsnummer|fnr|personnummer',
    texts: 'fnr',
    patterns: '###########',
    check: check.norway,
  },
  nz_ird: {
    names: 'ird number|ird no|inland revenue department|te tari take',
    persons: 'ird',
    texts: 'ird',
    patterns: '######### ########',
    check: check.newZealandTax,
  },
  nz_nhi: {
    names: 'nhi number|national health index',
    persons: 'nhi',
    texts: 'nhi',
    patterns: '@@@####',
    check: check.newZealandHealth,
  },
  pe_cui: {
    names: 'cedula unica de identidad|dni',
    persons: 'cui',
    texts: 'cui',
    patterns: '########*',
    check: check.peru,
  },
  ph_umid: {
    names: 'philsys|philsys number|philsys id|umid|sss number',
    patterns: '############ ########## ################',
  },
  pk_cnic: {
    names: 'cnic|cnic number|computerised national identity card',
    patterns: '#############',
    check: check.pakistan,
  },
  pl_pesel: { names: 'pesel', patterns: '###########', check: check.poland },
  pl_nip: {
    names: 'numer identyfikacji podatkowej',
    persons: 'nip',
    texts: 'nip',
    patterns: '##########',
    check: check.polandTax,
  },
  pt_cc: {
    names: 'cartao de cidadao|numero de cartao de cidadao',
    texts: 'cc',
    patterns: '#########@@#',
    check: hasLuhnDigit,
  },
  pt_nif: {
    names: 'numero de contribuinte|numero de identificacao fiscal',
    persons: 'nif',
    texts: 'nif',
    patterns: '#########',
    check: check.portugalTax,
  },
  py_ci: {
    names: 'cedula de identidad civil',
    texts: 'ruc',
    patterns: '####### ######## #########',
    check: check.paraguay,
  },
  ro_cnp: { names: 'cnp|cod numeric personal', patterns: '#############', check: check.romania },
  ru_inn: {
    names: 'инн|идентификационный номер налогоплательщика',
    persons: 'inn',
    texts: 'inn',
    patterns: '############ ##########',
    check: check.russiaTax,
  },
  ru_snils: { names: 'снилс|snils', patterns: '###########', check: check.russiaSocial },
  ru_passport: { names: 'паспорт|серия и номер паспорта', patterns: '##########' },
  sa_id: {
    names: 'saudi national id|iqama|iqama number|رقم الهوية',
    patterns: '##########',
    check: check.saudi,
  },
  se_pnr: {
    names: 'personnummer|samordningsnummer',
    texts: 'pnr',
    patterns: '########## ############',
    check: check.sweden,
  },
  sg_nric: {
    names: 'nric|nric no|fin number|nric fin',
    texts: 'fin',
    patterns: '@#######@',
    check: check.singapore,
  },
  si_tax: {
    names: 'davcna stevilka',
    patterns: '######## SI########',
    check: (text) => check.slovenia(text.slice(-8)),
  },
  yu_emso: {
    names:
      'emso|jmbg|enotna maticna stevilka obcana|jedinstveni maticni broj gradana|јмбг|embg|ембг|unique master citizen number|maticni broj',
    patterns: '#############',
    check: check.yugoslavia,
  },
  sv_nit: {
    names: 'numero de identificacion tributaria',
    persons: 'nit',
    texts: 'nit',
    patterns: '##############',
    check: check.salvador,
  },
  th_pin: {
    names: 'thai national id|เลขประจำตัวประชาชน',
    texts: 'pin',
    patterns: '#############',
    check: check.thailand,
  },
  tn_cin: { names: 'tunisian cin|numero cin', persons: 'cin', texts: 'cin', patterns: '########' },
  tr_tckn: {
    names: 'tckn|tc kimlik|tckimlik|tc kimlik no|t c kimlik no|kimlik numarasi|kimlik no|tc no',
    patterns: '###########',
    check: check.turkey,
  },
  tw_id: { names: '身分證字號|身分證|taiwan id number', patterns: '@#########', check: check.taiwan },
  ua_rntrc: {
    names: 'рнокпп|rntrc|іпн|rnokpp|individual taxpayer registration number',
    patterns: '##########',
    check: check.ukraine,
  },
  us_ptin: { names: 'ptin', patterns: 'P########' },
  us_ssn: {
    names: 'ssn|social security number|social security no|social security',
    texts: 'soc sec',
    patterns: '#########',
    check: (text) => check.unitedStates(text) && text[0] !== '9',
    detector: Detector.US_SSN,
  },
  us_tin: {
    names: 'itin|atin',
    texts: 'tin|ssn|social security number',
    patterns: '#########',
    check: check.unitedStates,
  },
  uy_ci: { names: 'cedula de identidad', texts: 'ci', patterns: '######## #######', check: check.uruguay },
  ve_rif: {
    names: 'registro de informacion fiscal|registro de identificacion fiscal',
    persons: 'rif',
    texts: 'rif|cedula',
    patterns: '@#########',
    check: check.venezuela,
  },
  vn_cccd: {
    names: 'cccd|can cuoc cong dan|so cccd',
    texts: 'cmnd',
    patterns: '############',
    check: check.vietnam,
  },
  za_id: {
    names: 'sa id number|rsa id number|south african id',
    persons: 'idnr',
    texts: 'idnr|id number',
    patterns: '#############',
    check: check.southAfrica,
  },
  za_tin: {
    names: 'south african tax identification number',
    texts: 'tin|income tax number',
    patterns: '0######### 1######### 2######### 3######### 9#########',
    check: hasLuhnDigit,
  },
}

/** Names that go with any country's number. */
const GENERAL =
  'national id|national identifier|national id number|national number|national identity number|national identification number|' +
  'citizen id|citizen number|personal id number|personal id|personal identity number|personal identification number|' +
  'personal identity code|personal number|identity number|identity card number|identity code|id card number|identity document number|' +
  'social security number|social security no|social insurance number|tax id|tax number|tax no|tax identification number|taxpayer id|' +
  'taxpayer number|taxpayer identification number|taxpayer registration number|tax code for individuals|' +
  'tax code for individuals and entities|birth number|pupil number|student identification number|patient identifier|voter id|' +
  'driver license|drivers license|driving license|driving licence|driver licence|drivers licence|license number is|drivers license number|' +
  'driver license number|driving licence number|driving license number|passport number|passport no|passport|passport nr|residence permit number|' +
  'identity card|id card|national identification|organisation identity code|vat|vat number|vat no|vat id|ein|tin|personal tax number|steuer id'

/** A number, or letters and digits, that a general name says it is. */
const GENERAL_PATTERNS =
  '##### ###### ####### ######## ######### ########## ########### ############ ############# ############## ############### ' +
  '@##### @###### @####### @######## @######### @@###### @@####### @@######## @@######### @@########## @@@####### @######@ ' +
  '@#######@ ########@ #######@ #########@ @@######@ ############* @@******# @@@@@@##@##@###@ #####**######## @@@@######@@@@@@##'

const GENERAL_KIND: Kind = { detector: Detector.NATIONAL_ID, patterns: GENERAL_PATTERNS }

export const NATIONAL_NAMES: readonly NameRow[] = Object.values(NATIONAL_KINDS).flatMap(
  ({ names, persons, texts, ...row }) => {
    const kinds: readonly Kind[] = [{ detector: Detector.NATIONAL_ID, ...row }]
    return [
      ...(names === undefined ? [] : [{ names, field: 'national_id', kinds } as const]),
      ...(persons === undefined
        ? []
        : [{ names: persons, field: 'national_id', isPersons: true, kinds } as const]),
      ...(texts === undefined ? [] : [{ names: texts, isText: true, kinds } as const]),
    ]
  },
)

export const GENERAL_NAMES: readonly NameRow[] = [{ names: GENERAL, isText: true, kinds: [GENERAL_KIND] }]
