// Forms in which people and programs write numbers and addresses, and what looks the same.
import { describe, expect, test } from 'vitest'
import { isIssued } from '../../../src/detection/finance/issuers.ts'
import { find, findBy } from './find.ts'

/** Luhn's digit put behind `head`. */
function withLuhnDigit(head: string): string {
  let sum = 0
  for (let i = 0; i < head.length; i++) {
    const digit = Number(head[head.length - 1 - i])
    sum += i % 2 === 0 ? (digit > 4 ? digit * 2 - 9 : digit * 2) : digit
  }
  return head + String((10 - (sum % 10)) % 10)
}

describe('payment cards', () => {
  const PAN = withLuhnDigit('520082828282821')

  test.each([' ', '  ', '-', '.', '/', '_', '+', '%20', '\u00a0', '\u202f', '\u2013', '\u2007'])(
    'groups of four with %j between',
    (separator) => {
      const grouped = PAN.match(/.{4}/g)!.join(separator)
      expect(findBy('payment_card', `paid ${grouped} ok`)).toEqual([grouped])
    },
  )

  test.each([
    [`%B${PAN}^DOE/JOHN^25121011000000000000?`, PAN],
    [`;${PAN}=25121011000000012345?`, PAN],
    [`PAN${PAN}`, PAN],
    [`card_${PAN}`, PAN],
    [`${PAN.slice(0, 8)}\n${PAN.slice(8)}`, `${PAN.slice(0, 8)}\n${PAN.slice(8)}`],
    [`{"pan":${PAN}}`, PAN],
    [`/cards/${PAN}/charge`, PAN],
    [`${PAN.match(/.{4}/g)!.join(' ')} 12/27`, PAN.match(/.{4}/g)!.join(' ')],
  ])('in %j', (text, found) => {
    expect(findBy('payment_card', text)).toEqual([found])
  })

  test.each([
    ['Visa', '424242', 16],
    ['Visa, long', '424242', 19],
    ['Visa, short', '422222', 13],
    ['American Express', '378282', 15],
    ['Mastercard, new range', '222300', 16],
    ['Mir', '220138', 16],
    ['Diners', '361482', 14],
    ['JCB', '353011', 16],
    ['Discover', '601111', 16],
    ['UnionPay', '620500', 19],
    ['RuPay', '508500', 16],
    ['Elo', '636368', 16],
    ['Elo, another', '506699', 16],
    ['Verve', '506099', 19],
    ['Bancontact', '670300', 17],
    ['Maestro, short', '501800', 12],
    ['Maestro', '676100', 18],
    ['Troy', '979200', 16],
  ])('%s', (_, prefix, length) => {
    const pan = withLuhnDigit(`${prefix}73019284650173`.slice(0, length - 1))
    expect(isIssued(Number(pan.slice(0, 4)), length)).toBe(true)
    expect(findBy('payment_card', `declined ${pan} at 4`)).toEqual([pan])
    const wrong = pan.slice(0, -1) + String((Number(pan.at(-1)) + 1) % 10)
    expect(find(`declined ${wrong} at 4`)).toEqual([])
  })

  test('an article number of thirteen digits is none', () => {
    // Both check digits fit; articles have one in ten of these, and cards of thirteen digits are no longer issued.
    expect(find('4006381333931')).toEqual([])
  })

  test.each([
    `${PAN}0`,
    `id-${PAN.slice(0, 4)}-${PAN.slice(4, 8)}-${PAN.slice(8, 12)}-${PAN.slice(12)}-77`,
    `0.${PAN}`,
    `ab${PAN}cd`,
    `${PAN.slice(0, 6)}******${PAN.slice(12)}`,
    '4.1.1.1',
  ])('none in %j', (text) => {
    expect(findBy('payment_card', text)).toEqual([])
  })
})

describe('e-mail addresses', () => {
  test.each([
    ['mail to "ada lovelace"@example.org bounced', '"ada lovelace"@example.org'],
    ['{"to":"\\"ada l\\"@example.org"}', '\\"ada l\\"@example.org'],
    ['"a\\"b"@example.org', '"a\\"b"@example.org'],
    ['?email=%22ada%20l%22%40example.org&x=1', '%22ada%20l%22%40example.org'],
    [
      '?email=%D0%B0%D0%B4%D0%B0%40%D0%BF%D0%BE%D1%87%D1%82%D0%B0.%D1%80%D1%84&x=1',
      '%D0%B0%D0%B4%D0%B0%40%D0%BF%D0%BE%D1%87%D1%82%D0%B0.%D1%80%D1%84',
    ],
    ['?email=ada%40example%2Eorg', 'ada%40example%2Eorg'],
    ['ада@почта.рф', 'ада@почта.рф'],
    ["WHERE mail = 'ada@example.org'", 'ada@example.org'],
    ['ada@localhost.local', 'ada@localhost.local'],
    ['ada@example.com2024', 'ada@example.com'],
    ['ada@example.org.', 'ada@example.org'],
    ['ada@example.org-1', 'ada@example.org'],
    ['ada@mail.example.co.uk, bob', 'ada@mail.example.co.uk'],
    ['ada@example.org.json', 'ada@example.org'],
  ])('in %j', (text, found) => {
    expect(findBy('email', text)).toEqual([found])
  })

  test.each([
    'git@git.shop.example:team/repo.git',
    'git@github.com',
    'getty@tty1.service',
    'user@1000.service',
    'x@2.1.0.js',
    't@main.jsbundle:10',
    'image@sha256.cache',
    'rabbit@rmq-0.rmq.default.svc',
    'logo@2x.png',
    '@"x"',
    '""@example.org',
    'list["a"]@b',
  ])('none in %j', (text) => {
    expect(find(text)).toEqual([])
  })
})

describe('telephone numbers', () => {
  test.each([
    ['+690 3101', '+690 3101'],
    ['+49 30 901820', '+49 30 901820'],
    ['(681)362-7978x328', '(681)362-7978x328'],
    ['(128)507-0962', '(128)507-0962'],
    ['+1-212-555-0143 ext. 12', '+1-212-555-0143 ext. 12'],
    ['tel:+49-30-901820', '+49-30-901820'],
  ])('%j', (text, found) => {
    expect(findBy('phone', `seen ${text} today`)).toEqual([found])
  })

  test.each([
    'offset=+4930901820',
    'delta +30871446 bytes',
    'drift +33749224 us',
    'seq: +4930901820',
    '+1234567 lines added',
    'UTC+0100',
    '+6809385',
    '128-507-0962',
  ])('none in %j', (text) => {
    expect(find(text)).toEqual([])
  })
})

describe('addresses of machines', () => {
  test.each([
    'firmware 20.8.4.138',
    'plugin-22.9.17.13',
    'ver. 19.20.6.173',
    'upgrade 2.0.0.0 to 2.1.0.0',
    'log4j 1.2.17.1',
    'libssl 1.1.1.1',
    'rv:1.9.0.20',
    '10.0.0.0/8',
    '64:22:35:f6:c9:66:af:11',
    '00:11:22:33:44:55',
    '12:30:45:12:30:45',
    'ff:ff:ff:ff:ff:ff',
    '01:00:5e:7f:ff:fa',
    'SHA256 fingerprint aa:bb:cc:dd:ee:ff:00:11:22:33',
  ])('none in %j', (text) => {
    expect(find(text)).toEqual([])
  })

  test.each([
    ['ipv4', 'client 203.0.113.7 gone', '203.0.113.7'],
    ['ipv4', 'agent 203.0.113.7 gone', '203.0.113.7'],
    ['ipv4', 'server-10.2.3.4 up', '10.2.3.4'],
    ['ipv6', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2:3:4:5:6'],
    ['mac', 'device d0:50:99:84:a2:a0 joined', 'd0:50:99:84:a2:a0'],
    ['iban', 'IBAN ME 2550 5000 0123 4567 8951 is new', 'ME 2550 5000 0123 4567 8951'],
  ])('%s in %j', (detector, text, found) => {
    expect(findBy(detector, text)).toEqual([found])
  })
})
