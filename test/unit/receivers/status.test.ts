import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { ERRORS, type ErrorCode, SidecarError } from '../../../src/base/errors.ts'
import { createAuthenticate } from '../../../src/receivers/auth.ts'
import { logBug, refusalOf, retryAfterSeconds } from '../../../src/receivers/status.ts'

describe('refusals', () => {
  test.each(Object.entries(ERRORS))(
    '%s answers as the error table says, with a hint only when a retry can help',
    (code, row) => {
      // Object.entries forgets the key type.
      const refusal = refusalOf(new SidecarError(code as ErrorCode, 'because', { retryAfterMs: 1_500 }))
      expect([refusal.grpcCode, refusal.httpStatus]).toEqual([row.grpc, row.http])
      expect(refusal.retryAfterMs).toBe(row.retryable ? 1_500 : undefined)
    },
  )

  test('what is not ours is INTERNAL and says nothing of the cause', () => {
    const refusal = refusalOf(new Error('card 4111111111111111'))
    expect(refusal).toEqual({
      code: 'INTERNAL',
      message: 'internal error',
      grpcCode: 13,
      httpStatus: 500,
      retryAfterMs: undefined,
    })
  })

  test('the log of a bug names the place and quotes no input', () => {
    const lines: string[] = []
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
    try {
      JSON.parse('{"card": 4111111111111111, oops}')
    } catch (error) {
      logBug(error, log)
    }
    logBug(new SidecarError('MALFORMED', 'not a bug'), log)
    expect(lines.length).toBe(1)
    expect(JSON.parse(lines[0]!)).toMatchObject({ name: 'SyntaxError', msg: 'request failed' })
    expect(lines[0]).toContain('status.test.ts')
    expect(lines[0]).not.toContain('4111')
    expect(lines[0]).not.toContain('oops')
  })

  test.each([
    [undefined, 1_000],
    [0, 1],
    [-5, 1],
    [0.2, 1],
    [29_999.5, 30_000],
    [1e9, 30_000],
    [Number.NaN, 30_000],
    [Number.POSITIVE_INFINITY, 30_000],
  ])('a wanted delay of %s ms becomes %i', (retryAfterMs, expected) => {
    const error = new SidecarError('OVERLOADED', 'x', retryAfterMs === undefined ? {} : { retryAfterMs })
    expect(refusalOf(error).retryAfterMs).toBe(expected)
  })

  test.each([
    [1, 1],
    [500, 1],
    [1_000, 1],
    [1_001, 2],
    [30_000, 30],
  ])('Retry-After of %i ms is %i whole seconds', (ms, seconds) => {
    expect(retryAfterSeconds(ms)).toBe(seconds)
  })
})

describe('the bearer token', () => {
  const authenticate = createAuthenticate({ bearerToken: 's3cret' })
  test.each([['Bearer s3cret'], ['bearer s3cret'], ['BEARER   s3cret ']])('%j passes', (value) => {
    expect(() => authenticate([value])).not.toThrow()
  })
  test.each([
    [''],
    ['s3cret'],
    ['Basic s3cret'],
    ['Bearer'],
    ['Bearer '],
    ['Bearer s3cre'],
    ['Bearer s3cretx'],
    ['Bearer s3cret s3cret'],
  ])('%j is refused', (value) => {
    expect(() => authenticate([value])).toThrow(expect.objectContaining({ code: 'UNAUTHENTICATED' }))
  })
  test('none, and two of them, are refused', () => {
    expect(() => authenticate([])).toThrow('a valid bearer token is needed')
    expect(() => authenticate(['Bearer s3cret', 'Bearer s3cret'])).toThrow('a valid bearer token is needed')
  })
  test('an empty token is a CONFIG error, not an open door', () => {
    expect(() => createAuthenticate({ bearerToken: '' })).toThrow(expect.objectContaining({ code: 'CONFIG' }))
  })
})
