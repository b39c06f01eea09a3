import pino from 'pino'
import { expect, test } from 'vitest'
import { CorruptRecords } from '../../../../src/keys/records/corrupt-records.ts'
import { KeyRecordError } from '../../../../src/keys/records/key-record.ts'

test('each damaged record is logged once, also where two have names that read alike', () => {
  const lines: string[] = []
  const corrupt = new CorruptRecords(pino({}, { write: (line: string) => void lines.push(line) }))
  for (const _ of [1, 2]) {
    corrupt.note(new KeyRecordError('signing', 'a/b', 'c'))
    corrupt.note(new KeyRecordError('signing', 'a', 'b/c'))
  }
  expect(lines).toHaveLength(2)
  expect(corrupt.names).toEqual(['signing/a/b/c', 'signing/a/b/c'])
  corrupt.opened('signing', 'a', 'b/c')
  corrupt.opened('signing', 'a', 'b')
  expect(corrupt.names).toEqual(['signing/a/b/c'])
})
