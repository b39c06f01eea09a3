import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { beforeAll, describe, expect, test } from 'vitest'
import { silentTelemetry } from '../../../../src/base/telemetry.ts'
import { openKeyStore } from '../../../../src/cli/key-store-access.ts'
import { keys as keysCommand } from '../../../../src/cli/keys/keys.ts'
import { KEYS_DEFAULTS, Keys } from '../../../../src/keys/keys.ts'
import type { KeyRecordKind } from '../../../../src/keys/records/keystore.ts'
import { storeKeyStore } from '../../../../src/store/key-store.ts'
import { Store } from '../../../../src/store/store.ts'
import { DoorKms, temporaryFolder } from '../../kms/key-service.ts'
import { ManualClock } from '../../kms/manual-clock.ts'

const never = new AbortController().signal
let kms: DoorKms
beforeAll(async () => {
  kms = await DoorKms.open()
})

describe('betrace keys', () => {
  const io = () => ({ stdout: new PassThrough(), stderr: new PassThrough(), env: {}, cwd: '/' })

  /** A real store with two tenants' keys, closed again. */
  async function dataFolder(
    spoil?: (store: Store) => Promise<void>,
  ): Promise<{ directory: string; ids: string[] }> {
    const directory = join(temporaryFolder(), 'data')
    mkdirSync(directory)
    const store = await Store.open({ directory }, [])
    const keyStore = storeKeyStore<KeyRecordKind>(store)
    const keys = new Keys(
      { kms, store: keyStore, clock: new ManualClock(), ...silentTelemetry() },
      { ...KEYS_DEFAULTS, dataClasses: ['name'] },
    )
    const ids = [
      (await keys.loadSigningKey('acme', never)).keyId,
      (await keys.loadSigningKey('__proto__', never)).keyId,
    ]
    await spoil?.(store)
    await keys.close()
    await store.close()
    return { directory, ids }
  }
  async function run(directory: string, ...argv: string[]) {
    const streams = io()
    const code = await keysCommand(argv, streams, () => openKeyStore(directory))
    return { code, stdout: String(streams.stdout.read() ?? ''), stderr: String(streams.stderr.read() ?? '') }
  }

  test('list, show and export say the same of the same keys', async () => {
    const { directory, ids } = await dataFolder()
    const list = await run(directory, 'list')
    expect(list.code).toBe(0)
    for (const id of ids) expect(list.stdout).toContain(id)
    const exported: { tenantId: string; keys: { keyId: string; publicKey: string }[] }[] = JSON.parse(
      (await run(directory, 'export')).stdout,
    )
    expect(exported.map(({ tenantId }) => tenantId).toSorted()).toEqual(['__proto__', 'acme'])
    expect(exported.flatMap(({ keys }) => keys.map(({ keyId }) => keyId)).toSorted()).toEqual(ids.toSorted())
    const shown = JSON.parse((await run(directory, 'show', ids[0]!, '--json')).stdout)
    expect(shown).toMatchObject({ tenantId: 'acme', keyId: ids[0], status: 'ACTIVE', provider: 'local' })
    expect(JSON.stringify(shown)).not.toContain('wrapped')
    const one = JSON.parse((await run(directory, 'export', '--tenant', 'acme')).stdout)
    expect(one).toHaveLength(1)
  })

  test('a damaged record is named, the others are listed, exit code 1', async () => {
    const { directory, ids } = await dataFolder(async (store) => {
      await storeKeyStore<KeyRecordKind>(store).put('signing', 'broken', 'k9', Buffer.from('rubbish'))
    })
    const { code, stdout, stderr } = await run(directory, 'list')
    expect(code).toBe(1)
    expect(stderr).toBe('betrace keys: record signing/broken/k9 is damaged\n')
    for (const id of ids) expect(stdout).toContain(id)
  })

  test('no folder is exit code 2, an unknown key 1, misuse 3', async () => {
    const { directory } = await dataFolder()
    expect((await run(join(directory, 'none'), 'list')).code).toBe(2)
    expect((await run(directory, 'show', 'nope')).code).toBe(1)
    for (const argv of [[], ['drop'], ['show'], ['list', 'x'], ['list', '--nope']])
      expect((await run(directory, ...argv)).code).toBe(3)
    rmSync(directory, { recursive: true })
  })
})
