import { describe, expect, test } from 'vitest'
import { type Action, KEEP, REDACTION_DEFAULTS, type Rule } from '../../../src/redaction/options.ts'
import { redact } from '../../../src/redaction/redact.ts'
import { compileRules, type RuleSet } from '../../../src/redaction/rules.ts'
import { messageField } from '../../../src/wire/write.ts'
import { kv, type Plain, spanAttributes, str, traceRequest } from './otlp-codec.ts'
import { testTenant } from './test-keys.ts'

const fixed: Action = { kind: 'mask', text: 'M', keepFirst: 0, keepLast: 0 }
const rulesOf = (...rules: Rule[]): RuleSet => compileRules({ ...REDACTION_DEFAULTS, packs: [], rules })
const text = (content: string): Buffer => Buffer.from(content)

describe('what is kept is exempt from later rules alone', () => {
  const mails: Rule = { name: 'mails', match: { detector: ['email'] }, action: fixed }
  const password: Rule = { name: 'password', match: { key: ['password'] }, action: fixed }
  const note: Rule = { name: 'note', match: { key: ['note'] }, action: KEEP }
  const value: Plain = {
    kvlistValue: {
      values: [
        kv('a', str('a@example.com')),
        kv('password', str('secret')),
        kv('b', { arrayValue: { values: [str('b@example.com')] } }),
      ],
    },
  }
  const kept = (...rules: Rule[]): string =>
    JSON.stringify(
      spanAttributes(
        redact(traceRequest([kv('note', value)]), 'traces', rulesOf(...rules), [testTenant()]).body,
      ).get('note'),
    )

  test('an earlier rule has what it finds in a kvlist that is kept', () => {
    expect(kept(mails, note)).not.toContain('@example.com')
    expect(kept(mails, note)).toContain('secret')
  })

  test('an earlier rule has the entry that it names', () => {
    expect(kept(password, note)).not.toContain('secret')
    expect(kept(password, note)).toContain('@example.com')
  })

  test('a later one has nothing', () => {
    expect(kept(note, mails, password)).toContain('a@example.com')
    expect(kept(note, mails, password)).toContain('secret')
  })

  test('also where the value does not begin as scalars do', () => {
    const value = Buffer.concat([messageField(100, text('x')), messageField(1, text('a@example.com'))])
    const rules = rulesOf(mails, { name: 'n', match: { key: ['n'] }, action: KEEP })
    const attribute = Buffer.concat([messageField(1, text('n')), messageField(2, value)])
    const request = messageField(1, messageField(2, messageField(2, messageField(9, attribute))))
    const { body } = redact(request, 'traces', rules, [testTenant()])
    expect(Buffer.from(body).toString('latin1')).not.toContain('@example.com')
  })
})

test('a key in which more is found than is recorded goes as a whole', () => {
  const mails: Rule = { name: 'mails', match: { detector: ['email'] }, action: fixed }
  const key = 'a@b.example '.repeat(70_000)
  const { body, overBudget } = redact(traceRequest([kv(key, str('x'))]), 'traces', rulesOf(mails), [
    testTenant(),
  ])
  expect([...spanAttributes(body).keys()]).toEqual(['[REDACTED]'])
  expect(overBudget).toBe(1)
})
