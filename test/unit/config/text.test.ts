import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseEndpoint } from '../../../src/base/endpoint.ts'
import { expandEnvironment } from '../../../src/config/environment.ts'
import { splitPath } from '../../../src/config/overrides.ts'
import { parseDuration, parseSize } from '../../../src/config/quantity.ts'
import { maskUrlCredentials, urlCredentials } from '../../../src/config/secret.ts'
import { nearest } from '../../../src/config/suggestion.ts'
import { joinPath } from '../../../src/config/yaml-source.ts'

describe('quantities', () => {
  test.each([
    ['0s', 0],
    ['500ms', 500],
    ['8s', 8_000],
    ['60m', 3_600_000],
    ['24h', 86_400_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1_500],
    ['', undefined],
    ['60', undefined],
    ['m', undefined],
    ['-1s', undefined],
    ['1 s', undefined],
    ['1d', undefined],
    ['1s;', undefined],
    ['9999999999s', undefined],
  ])('duration %j is %s ms', (text, ms) => expect(parseDuration(text)).toBe(ms))

  test.each([
    ['0B', 0],
    ['1KiB', 1024],
    ['1024MiB', 2 ** 30],
    ['2 GiB', 2 ** 31],
    ['5MB', 5_000_000],
    ['1024', undefined],
    ['1.5GiB', undefined],
    ['1mib', undefined],
    ['-1MiB', undefined],
    ['999999999999GiB', undefined],
  ])('size %j is %s bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes))

  test.each([
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
    ['localhost:65535', { host: 'localhost', port: 65535 }],
    ['[::1]:4317', { host: '::1', port: 4317 }],
    ['localhost:65536', undefined],
    [':4317', undefined],
    ['::1:4317', undefined],
    ['localhost', undefined],
    ['a b:1', undefined],
    ['http://a:1', undefined],
  ])('endpoint %j is %j', (text, endpoint) => expect(parseEndpoint(text)).toEqual(endpoint))
})

describe('environment references', () => {
  const env = { A: 'alpha', EMPTY: '', NESTED: `\${env:A}` }
  test.each([
    [`\${env:A}`, 'alpha'],
    [`<\${env:A}-\${env:A}>`, '<alpha-alpha>'],
    [`\${env:B:-b}`, 'b'],
    [`\${env:B:-}`, ''],
    [`\${env:EMPTY:-e}`, 'e'],
    [`\${env:EMPTY}`, ''],
    [`\${env:B:-a:-b}`, 'a:-b'],
    [`\${env:NESTED}`, `\${env:A}`],
    [`$$\{env:A}`, `\${env:A}`],
    ['$$$$', '$$'],
    ['5$', '5$'],
    ['$A', '$A'],
    ['', ''],
  ])('%j becomes %j', (text, expected) => {
    expect(expandEnvironment(text, env)).toMatchObject({ text: expected, problems: [] })
  })

  test.each([
    `\${env:B}`,
    `\${env:toString}`,
    `\${A}`,
    `\${file:/etc/passwd}`,
    `\${env:a-b}`,
    `\${env:}`,
    `\${env:A`,
  ])('%j is one problem', (text) => expect(expandEnvironment(text, env).problems).toHaveLength(1))

  test('text with every dollar doubled comes out as it was', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const { text: back, problems } = expandEnvironment(text.replaceAll('$', '$$$$'), {})
        expect([back, problems]).toEqual([text, []])
      }),
    )
  })
})

describe('paths and suggestions', () => {
  test('a path that was joined splits into its parts again', () => {
    const part = fc.oneof(
      fc.stringMatching(/^[a-z_/0-9]+$/),
      fc
        .string({ minLength: 1 })
        .filter((text) => !/[\\\n\r\u2028\u2029]/.test(JSON.stringify(text).replace(/\\"/g, ''))),
    )
    fc.assert(
      fc.property(fc.array(part, { minLength: 1 }), (parts) => {
        expect(splitPath(parts.reduce(joinPath, ''))).toEqual(parts)
      }),
    )
  })

  test.each(['', '.', 'a.', '.a', 'a..b', '"a', 'a"b"', '"a"b'])('%j is no path', (text) =>
    expect(splitPath(text)).toBeUndefined(),
  )

  test.each([
    ['validat', 'validate'],
    ['vlaidate', 'validate'],
    ['printConfig', 'print-config'],
    ['print_config', 'print-config'],
    ['rn', 'run'],
    ['xyz', undefined],
    ['', undefined],
    ['v'.repeat(10_000), undefined],
  ])('%.20j suggests %s', (word, expected) =>
    expect(nearest(word, ['run', 'validate', 'print-config'])).toBe(expected),
  )
})

test.each([
  ['https://user:pass@host/x', 'https://[redacted]@host/x'],
  ['see amqp://u:p@ss/w@h and http://x', 'see amqp://[redacted]@h and http://x'],
  ['http://host:80/a', 'http://host:80/a'],
  ['mail a@b', 'mail a@b'],
  ['http://h:9?apikey=CANARY', 'http://h:9?apikey=[redacted]'],
  ['http://h/a?x=1&y=a/b;z=%20#frag', 'http://h/a?x=[redacted]&y=[redacted];z=[redacted]#[redacted]'],
  [
    'see https://u:p@h/?a=b, then http://h?CANARY',
    'see https://[redacted]@h/?a=[redacted] then http://h?[redacted]',
  ],
  ['http://h/?a=&b', 'http://h/?a=&b'],
  ['is x?y=z a question', 'is x?y=z a question'],
  ['https?://(?:a|b)\\?c', 'https?://(?:a|b)\\?c'],
])('%j is printed as %j', (text, masked) => expect(maskUrlCredentials(text)).toBe(masked))

test.each([
  ['https://user:pass:wd@h/p', ['pass:wd']],
  ['https://a-token-alone@h/p', ['a-token-alone']],
  ['https://u:p@h?key=one&two#three', ['p', 'one', 'three']],
  ['https://h/p', []],
])('what is secret in %s is found, to be found again elsewhere', (text, secrets) => {
  expect(urlCredentials(text)).toEqual(secrets)
})
