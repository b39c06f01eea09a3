import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runCommand } from '../../../../src/cli/commands.ts'
import { Store } from '../../../../src/store/store.ts'
import { entryOf, testFolder } from '../../store/folder.ts'
import { recordingIo } from '../io.ts'

const CONFIG = `
receivers: { otlp: { protocols: { http: {} } } }
exporters: { debug: {} }
service: { pipelines: { traces: { receivers: [otlp], exporters: [debug] }, logs: { receivers: [otlp], exporters: [debug] } } }
`
const CONSUMERS = [{ signal: 'traces', id: 'debug' }] as const

/** A folder with a configuration and a store in `data`: four entries of three spans each, and a key record. */
async function used(): Promise<{ cwd: string; data: string }> {
  const cwd = testFolder()
  const data = join(cwd, 'data')
  writeFileSync(join(cwd, 'collector-config.yaml'), `storage: { directory: ${data} }\n${CONFIG}`)
  const store = await Store.open({ directory: data }, CONSUMERS)
  for (let fill = 1; fill <= 4; fill++)
    await store.append(entryOf(5_000, 'traces', fill), [
      { key: Buffer.from(`s${fill}`), value: Buffer.of(fill) },
    ]).durable
  await store.keys.put(Buffer.from('k'), Buffer.from('v'))
  await store.close()
  return { cwd, data }
}

async function command(cwd: string, ...argv: string[]) {
  const { io, out, err } = recordingIo({}, cwd)
  const stdin = Object.assign(process.stdin, { isTTY: false })
  const code = await runCommand(['store', ...argv], { ...io, stdin } as typeof io)
  return { code, out: out(), err: err() }
}

function damageBody({ data }: { data: string }, fill: number): void {
  const file = join(data, 'queue', '0000000001.log')
  const at = readFileSync(file).indexOf(Buffer.alloc(5_000, fill)) + 100
  const fd = openSync(file, 'r+')
  writeSync(fd, Buffer.of(99), 0, 1, at)
  closeSync(fd)
}

describe('betrace store', () => {
  test('check says what there is, and that nothing is lost', async () => {
    const { cwd } = await used()
    const { code, out, err } = await command(cwd, 'check')
    expect([code, err]).toEqual([0, ''])
    expect(out).toBe(
      'Waiting in the queue: 4 of traces (12 items), 0 of logs (0 items), 0 of metrics (0 items).\n' +
        'Evidence: 4 statements. Key records: 1.\nNothing is lost.\n',
    )
  })

  test('check counts and names what is lost, and changes nothing; salvage goes on with the rest', async () => {
    const folder = await used()
    damageBody(folder, 2)
    for (let i = 0; i < 2; i++) {
      const { code, out } = await command(folder.cwd, 'check')
      expect(code).toBe(1)
      expect(out).toContain('Waiting in the queue: 3 of traces (9 items)')
      expect(out).toContain(
        'Lost: queue/0000000001: 1 record(s), entries not yet exported: 1 of traces with 3 items.\n',
      )
    }
    await expect(Store.open({ directory: folder.data }, CONSUMERS)).rejects.toMatchObject({
      code: 'STORE_CORRUPT',
    })
    expect((await command(folder.cwd, 'salvage')).code).toBe(3)
    const { code, out } = await command(folder.cwd, 'salvage', '--yes')
    expect(code).toBe(0)
    expect(out).toContain('Salvaged: the sidecar can be started.')
    expect(readdirSync(join(folder.data, 'damaged'))).toHaveLength(1)
    expect((await command(folder.cwd, 'check')).out).toContain('Nothing is lost.\n')
    const store = await Store.open({ directory: folder.data }, CONSUMERS)
    expect(store.next('traces:debug', 0, 9).map(({ body }) => body[0])).toEqual([1, 3, 4])
    expect(Buffer.from(store.keys.get(Buffer.from('k')) ?? []).toString()).toBe('v')
    await store.close()
    expect((await command(folder.cwd, 'salvage', '--yes')).out).toBe(
      'Nothing is lost, so there is nothing to do.\n',
    )
  })

  test.each([
    ['its mark', (data: string) => rmSync(join(data, 'mark')), [1, 2, 3, 4]],
    ['its queue', (data: string) => truncateSync(join(data, 'queue', '0000000001.log'), 0), []],
    ['its key records', (data: string) => rmSync(join(data, 'keys'), { recursive: true }), [1, 2, 3, 4]],
    ['its evidence', (data: string) => rmSync(join(data, 'evidence'), { recursive: true }), [1, 2, 3, 4]],
    [
      'all it had',
      (data: string) => {
        for (const name of ['mark', 'queue', 'evidence', 'keys'])
          rmSync(join(data, name), { recursive: true })
      },
      [],
    ],
  ])('a folder that has lost %s starts again after salvage', async (_what, change, left) => {
    const { cwd, data } = await used()
    change(data)
    await expect(Store.open({ directory: data }, CONSUMERS)).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
    expect((await command(cwd, 'salvage', '--yes')).code).toBe(0)
    const store = await Store.open({ directory: data }, CONSUMERS)
    expect(store.next('traces:debug', 0, 9).map(({ body }) => body[0])).toEqual(left)
    await store.append(entryOf(10), []).durable
    await store.close()
    expect((await command(cwd, 'check')).code).toBe(0)
  })

  test('a running sidecar, a folder without a store, one of an earlier version and wrong usage are one line each', async () => {
    const { cwd, data } = await used()
    const store = await Store.open({ directory: data }, CONSUMERS)
    expect(await command(cwd, 'check')).toMatchObject({
      code: 1,
      err: expect.stringContaining('[STORE_LOCKED]'),
    })
    await store.close()
    rmSync(data, { recursive: true })
    mkdirSync(data)
    expect(await command(cwd, 'check')).toMatchObject({
      code: 2,
      err: expect.stringContaining('there is no store in it'),
    })
    writeFileSync(join(data, 'data.mdb'), 'lmdb')
    const former = await command(cwd, 'check')
    expect(former).toMatchObject({ code: 1, err: expect.stringContaining('data.mdb of an earlier version') })
    expect(former.err.trimEnd()).not.toContain('\n')
    expect(await command(cwd, 'repair')).toMatchObject({ code: 3 })
    expect((await command(cwd, '--help')).out).toContain('Usage: betrace store check')
  })
})
