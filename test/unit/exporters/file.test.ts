import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { describe, expect, onTestFinished, test } from 'vitest'
import { makeTraces } from '../../../bench/payload.ts'
import { DeadLetter } from '../../../src/exporters/dead-letter.ts'
import { DebugExporter } from '../../../src/exporters/debug.ts'
import { FileExporter } from '../../../src/exporters/file.ts'
import type { FileExporterOptions } from '../../../src/exporters/options.ts'
import { protobufToJson } from '../../../src/wire/json.ts'
import { requestOf, stoppedClock, testFolder } from './folder.ts'
import { neverAborted } from './peers.ts'

const lines = (path: string) => readFileSync(path, 'utf8').split('\n').slice(0, -1)
const spanName = (line: string) => JSON.parse(line).resourceSpans[0].scopeSpans[0].spans[0].name

async function exporter(path: string, rotation?: FileExporterOptions['rotation'], clock = stoppedClock()) {
  const made = new FileExporter('file/out', rotation ? { path, rotation } : { path }, clock)
  onTestFinished(() => made.close())
  await made.start()
  return {
    send: (name: string) => made.send('traces', requestOf(name), neverAborted),
    close: () => made.close(),
    clock,
  }
}

describe('the file exporter', () => {
  test('writes one request a line, in order, for the owner alone', async () => {
    const path = join(testFolder(), 'deep', 'out.jsonl')
    const { send } = await exporter(path)
    const outcomes = await Promise.all(['a', 'b', 'c'].map(send))
    expect(outcomes.every(({ kind }) => kind === 'ok')).toBe(true)
    expect(lines(path).map(spanName)).toEqual(['a', 'b', 'c'])
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  test('goes on where it stopped', async () => {
    const path = join(testFolder(), 'out.jsonl')
    const first = await exporter(path)
    await first.send('a')
    await first.close()
    await (await exporter(path)).send('b')
    expect(lines(path).map(spanName)).toEqual(['a', 'b'])
  })

  test('is found under its name after somebody moved or deleted it', async () => {
    const folder = join(testFolder(), 'out')
    mkdirSync(folder)
    const path = join(folder, 'out.jsonl')
    const { send } = await exporter(path)
    await send('a')
    renameSync(path, `${path}.1`)
    expect((await send('b')).kind).toBe('ok')
    expect(lines(`${path}.1`).map(spanName)).toEqual(['a'])
    expect(lines(path).map(spanName)).toEqual(['b'])
    rmSync(folder, { recursive: true })
    expect((await send('c')).kind).toBe('ok')
    expect(lines(path).map(spanName)).toEqual(['c'])
  })

  test('cuts a torn last line off, wherever it was torn', async () => {
    const path = join(testFolder(), 'out.jsonl')
    const first = await exporter(path)
    await first.send('a')
    const whole = statSync(path).size
    await first.send('b'.repeat(200_000))
    await first.close()
    const size = statSync(path).size
    const content = readFileSync(path)
    for (const kept of [size - 2, whole + 100_000, whole + 1, whole]) {
      writeFileSync(path, content)
      truncateSync(path, kept)
      const again = await exporter(path)
      await again.send('c')
      await again.close()
      expect(lines(path).map(spanName), `${kept} bytes kept`).toEqual(['a', 'c'])
    }
  })

  test('writes lines of any length whole, with what comes at the same time, and what verify reads', async () => {
    const path = join(testFolder(), 'out.jsonl')
    const made = new FileExporter('file/out', { path }, stoppedClock())
    await made.start()
    const bodies = [1, 700, 3, 900, 1].map((spans, seed) => makeTraces({ spans, seed }))
    const outcomes = await Promise.all(bodies.map((body) => made.send('traces', body, neverAborted)))
    expect(outcomes.every(({ kind }) => kind === 'ok')).toBe(true)
    expect(lines(path)).toEqual(bodies.map((body) => protobufToJson(body, 'traces')))
    await made.close()
  })

  test('takes a request that breaks half way out again, and nothing else with it', async () => {
    const path = join(testFolder(), 'out.jsonl')
    const made = new FileExporter('file/out', { path }, stoppedClock())
    await made.start()
    const whole = makeTraces({ spans: 1, seed: 1 })
    const group = makeTraces({ spans: 900, seed: 2 })
    const broken = Buffer.concat([group, Buffer.of(0x0a, 0x02, 0x12, 0x7f)])
    const bodies = [whole, broken, whole, broken]
    const outcomes = await Promise.all(bodies.map((body) => made.send('traces', body, neverAborted)))
    expect(outcomes.map(({ kind }) => kind)).toEqual(['ok', 'refused', 'ok', 'refused'])
    const line = protobufToJson(whole, 'traces')
    expect(readFileSync(path, 'utf8')).toBe(`${line}\n${line}\n`)
    await made.close()
  })

  test('keeps a last line that lacks only its newline', async () => {
    const path = join(testFolder(), 'out.jsonl')
    writeFileSync(path, '{"mine":1}\n{"yours":2}')
    await (await exporter(path)).send('c')
    expect(lines(path).slice(0, 2)).toEqual(['{"mine":1}', '{"yours":2}'])
    expect(lines(path)).toHaveLength(3)
  })

  test('sets a full file aside, keeps so many, and loses no line in between', async () => {
    const folder = testFolder()
    const { send, clock } = await exporter(join(folder, 'out.jsonl'), { fileBytesMax: 2_000, backupsMax: 3 })
    for (let i = 0; i < 40; i++) {
      clock.nowAt += i % 3 === 0 ? 1_000 : 0
      await Promise.all([send(`${i}-`.padEnd(400, 'x')), send(`${i}+`.padEnd(400, 'x'))])
    }
    const backups = readdirSync(folder)
      .filter((name) => name !== 'out.jsonl')
      .sort()
    expect(backups).toHaveLength(3)
    expect(
      backups.every((name) => /^out-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}(-\d+)?\.jsonl$/.test(name)),
    ).toBe(true)
    const names = [...backups, 'out.jsonl']
      .flatMap((name) => lines(join(folder, name)))
      .map(spanName)
      .map((name: string) => Number.parseInt(name, 10))
    expect([...names].sort((a, b) => a - b).at(-1)).toBe(39)
    for (const name of [...backups, 'out.jsonl'])
      expect(statSync(join(folder, name)).size).toBeLessThanOrEqual(2_000)
    // What is left is an unbroken run at the end: nothing in the middle was lost.
    const oldest = Math.min(...names)
    for (let i = oldest + 1; i < 40; i++) expect(names.filter((name) => name === i)).toHaveLength(2)
  })

  test('removes what was set aside too long ago, and leaves other files alone', async () => {
    const folder = testFolder()
    writeFileSync(join(folder, 'out-notes.jsonl'), 'mine')
    writeFileSync(join(folder, 'out-2001-01-01T00-00-00.000.jsonl'), 'old')
    const { send } = await exporter(join(folder, 'out.jsonl'), {
      fileBytesMax: 500,
      backupsMax: 0,
      ageDaysMax: 1,
    })
    for (let i = 0; i < 3; i++) await send('x'.repeat(400))
    const names = readdirSync(folder)
    expect(names).toContain('out-notes.jsonl')
    expect(names).not.toContain('out-2001-01-01T00-00-00.000.jsonl')
    expect(names).toHaveLength(4)
  })

  test('refuses what is no request, and writes nothing of it', async () => {
    const path = join(testFolder(), 'out.jsonl')
    const made = new FileExporter('file/out', { path }, stoppedClock())
    await made.start()
    expect((await made.send('traces', Buffer.of(0x0a, 0xff), neverAborted)).kind).toBe('refused')
    expect(statSync(path).size).toBe(0)
    await made.close()
  })

  test('with a path that cannot be written does not start', async () => {
    const inTheWay = join(testFolder(), 'a file')
    writeFileSync(inTheWay, '')
    await expect(
      new FileExporter('file/out', { path: join(inTheWay, 'out') }, stoppedClock()).start(),
    ).rejects.toMatchObject({ code: 'CONFIG' })
  })

  test.skipIf(process.getuid?.() !== 0)(
    'on a full disk retries, leaves no half line, and goes on when there is room (needs root, to mount a tmpfs)',
    async () => {
      const folder = testFolder()
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder])
      onTestFinished(() => void execFileSync('umount', ['-l', folder]))
      appendFileSync(join(folder, 'ballast'), Buffer.alloc(40_000))
      const { send } = await exporter(join(folder, 'out.jsonl'))
      expect((await send('small')).kind).toBe('ok')
      expect(await send('x'.repeat(30_000))).toMatchObject({ kind: 'retry', reason: 'disk_full' })
      expect(lines(join(folder, 'out.jsonl')).map(spanName)).toEqual(['small'])
      truncateSync(join(folder, 'ballast'), 0)
      expect((await send('x'.repeat(30_000))).kind).toBe('ok')
      expect(lines(join(folder, 'out.jsonl'))).toHaveLength(2)
    },
  )
})

describe('the dead letter', () => {
  const entry = (sequence: number, bytes: number) => ({
    sequence,
    signal: 'logs' as const,
    itemCount: 2,
    acceptedAtMs: 0,
    body: Buffer.alloc(bytes, 5),
    refs: Buffer.of(),
  })

  test('keeps what was refused, with why', async () => {
    const directory = testFolder()
    const letter = new DeadLetter({ directory })
    await letter.start()
    await letter.keep(entry(9, 10), 'otlp_grpc/next', 'internal', 1_000)
    await letter.close()
    const [line] = lines(letter.path)
    expect(JSON.parse(line)).toEqual({
      exporter: 'otlp_grpc/next',
      reason: 'internal',
      signal: 'logs',
      sequence: 9,
      itemCount: 2,
      acceptedAt: '1970-01-01T00:00:00.000Z',
      droppedAt: '1970-01-01T00:00:01.000Z',
      body: Buffer.alloc(10, 5).toString('base64'),
    })
    expect(statSync(letter.path).mode & 0o777).toBe(0o600)
  })

  const keepAll = (letter: DeadLetter, sequences: readonly number[], bytes = 1_000) =>
    Promise.all(
      sequences.map((sequence) =>
        letter.keep(entry(sequence, bytes), 'x', 'y', 0).then(
          () => 'kept',
          ({ code }) => code,
        ),
      ),
    )

  test('takes no more when it is full, also when all come at once, and says how much waits', async () => {
    const letter = new DeadLetter({ directory: testFolder(), bytesMax: 5_000 })
    await letter.start()
    const kept = await keepAll(letter, [1, 2, 3, 4, 5])
    expect(kept).toEqual(['kept', 'kept', 'kept', 'STORE_FAILED', 'STORE_FAILED'])
    expect(statSync(letter.path).size).toBeLessThanOrEqual(5_000)
    expect(letter.levels).toEqual({ bytesUsed: statSync(letter.path).size, bytesMax: 5_000, waitingItems: 4 })
    await letter.close()
  })

  test.each([
    ['moved away', (path: string) => renameSync(path, `${path}.1`)],
    ['deleted', (path: string) => rmSync(path)],
    ['emptied', (path: string) => truncateSync(path, 0)],
  ])('has room again when the file was %s', async (_how, act) => {
    const letter = new DeadLetter({ directory: testFolder(), bytesMax: 5_000 })
    await letter.start()
    await keepAll(letter, [1, 2, 3])
    expect(await keepAll(letter, [4])).toEqual(['STORE_FAILED'])
    act(letter.path)
    expect(await keepAll(letter, [4])).toEqual(['kept'])
    expect(letter.levels.waitingItems).toBe(0)
    expect(lines(letter.path).map((line) => JSON.parse(line).sequence)).toEqual([4])
    await letter.close()
  })

  test('takes one that is larger than its bound when it is alone, so that none waits for ever', async () => {
    const letter = new DeadLetter({ directory: testFolder(), bytesMax: 5_000 })
    await letter.start()
    expect(await keepAll(letter, [1], 1_000_001)).toEqual(['kept'])
    expect(await keepAll(letter, [2], 1)).toEqual(['STORE_FAILED'])
    expect(Buffer.from(JSON.parse(lines(letter.path)[0]).body, 'base64')).toEqual(Buffer.alloc(1_000_001, 5))
    await letter.close()
  })
})

describe('the debug exporter', () => {
  test.each([
    ['basic', 1],
    ['normal', 2],
    ['detailed', 20],
  ] as const)('%s prints counts, and at least %i lines', async (verbosity, count) => {
    const output = new PassThrough()
    const made = new DebugExporter('debug', { verbosity }, output)
    const body = requestOf('a span')
    expect((await made.send('traces', body, neverAborted)).kind).toBe('ok')
    const text = String(output.read())
    expect(text.startsWith(`traces: 1 resources, 1 spans, ${body.length} bytes\n`)).toBe(true)
    expect(text.includes('a span')).toBe(verbosity !== 'basic')
    expect(text.split('\n').length - 1).toBeGreaterThanOrEqual(Math.min(count, 10))
  })

  test.each([
    ['normal', undefined],
    ['detailed', 2],
  ] as const)('%s prints all of a large request, and requests do not mix', async (verbosity, indent) => {
    const output = new PassThrough()
    const text = output.toArray()
    const made = new DebugExporter('debug', { verbosity }, output)
    const bodies = [1, 2, 3].map((seed) => makeTraces({ spans: 100, seed }))
    await Promise.all(bodies.map((body) => made.send('traces', body, neverAborted)))
    output.end()
    const expected = bodies.map(
      (body) =>
        `traces: 1 resources, 100 spans, ${body.length} bytes\n${JSON.stringify(JSON.parse(protobufToJson(body, 'traces')), undefined, indent)}\n`,
    )
    expect(Buffer.concat(await text).toString()).toBe(expected.join(''))
  })
})
