import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { createTelemetry, type Logger } from '../../../src/base/telemetry.ts'

async function linesOf(encoding: 'console' | 'json', write: (log: Logger) => void): Promise<string[]> {
  const destination = new PassThrough()
  const { log } = await createTelemetry({ level: 'debug', encoding, destination })
  write(log)
  return String(destination.read() ?? '')
    .split('\n')
    .slice(0, -1)
}

test('on a console a line is time, level and message, which a runbook finds with grep', async () => {
  const lines = await linesOf('console', (log) => {
    log.info('Initializing KMS provider: aws')
    log.warn('Using LocalKmsAdapter - NOT FOR PRODUCTION USE')
    log.error({ tenant: 'a', error: 'access_denied' }, 'KmsException')
    log.debug({ span: 1 })
  })
  const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`
  expect(lines).toHaveLength(4)
  expect(lines[0]).toMatch(new RegExp(`^${time} INFO Initializing KMS provider: aws\\s*$`))
  expect(lines[1]).toMatch(new RegExp(`^${time} WARN Using LocalKmsAdapter - NOT FOR PRODUCTION USE\\s*$`))
  expect(lines[2]).toMatch(
    new RegExp(`^${time} ERROR KmsException \\{"tenant":"a","error":"access_denied"\\}$`),
  )
  expect(lines[3]).toMatch(new RegExp(`^${time} DEBUG \\{"span":1\\}$`))
})

test('a console line begins with its time whatever its fields are called', async () => {
  const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`
  // The printer of console lines would put some of these before the message, in brackets.
  for (const field of ['name', 'pid', 'hostname', 'caller', 'v', 'type', 'stack', 'state_before']) {
    const [line, ...more] = await linesOf('console', (log) =>
      log.error({ [field]: 'kms-signing-key', state: 'open' }, 'Circuit breaker is open'),
    )
    expect(more).toEqual([])
    expect(line, field).toMatch(new RegExp(`^${time} ERROR Circuit breaker is open .*"state":"open"`))
    expect(line).toContain('kms-signing-key')
  }
})

test('as JSON the level is the same word, and the time can be read', async () => {
  const [line] = await linesOf('json', (log) => log.warn({ a: 1 }, 'Stopping'))
  expect(JSON.parse(line!)).toEqual({
    level: 'WARN',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    a: 1,
    msg: 'Stopping',
  })
})

test('what a key service answers cannot move the cursor of who reads the log', async () => {
  const [line] = await linesOf('console', (log) =>
    log.error({ '\u001b[2J': '\u001b[2J' }, 'x\u001b[2J\u009b1Ay'),
  )
  expect(line).toMatch(/ ERROR x\[2J1Ay /)
  expect(line).not.toMatch(/\p{Cc}/u)
})
