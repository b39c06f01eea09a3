import { expect, test } from 'vitest'
import { findAnnouncements } from '../../../../src/keys/trust/announcement-search.ts'
import { encode } from '../../wire/oracle.ts'

type Value = Readonly<Record<string, unknown>> | undefined

const KEY = 'betrace.key.AAAAAAAAAAAA'
const text = { stringValue: '{"v":1}' }

function foundIn(value: Value, body: Value = undefined, key = KEY): unknown {
  return findAnnouncements(
    'logs',
    encode('logs', {
      resourceLogs: [{ resource: { attributes: [{ key, value }] }, scopeLogs: [{ logRecords: [{ body }] }] }],
    }),
  )
}

test('the text of a resource attribute under an announcement key is found', () => {
  expect(foundIn(text)).toEqual([{ kid: 'AAAAAAAAAAAA', text: '{"v":1}' }])
})

test.each<[string, Value, Value]>([
  ['a log body after an attribute without a value', undefined, text],
  ['a log body after an attribute with an empty value', {}, text],
  ['a log body after one with an empty array', { arrayValue: {} }, text],
  ['an element of an array', { arrayValue: { values: [text] } }, undefined],
  ['an entry of a kvlist', { kvlistValue: { values: [{ key: KEY, value: text }] } }, undefined],
])('%s is none', (_, value, body) => {
  expect(foundIn(value, body)).toEqual([])
})

test('a text under another key is none', () => {
  expect(foundIn(text, text, 'service.name')).toEqual([])
})
