import { spawn } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { createTelemetry } from '../../../../src/base/telemetry.ts'
import type { KmsContext } from '../../../../src/formats/key-context.ts'
import { openLocalKms } from '../../../../src/kms/local/open.ts'
import { localOptions, temporaryFolder } from '../key-service.ts'

const never = new AbortController().signal
const context: KmsContext = { tenantId: 'acme', purpose: 'signing', keyId: 'k1' }

describe('wrapping', () => {
  test('what is wrapped unwraps under the same context, whatever the order it is written in', async () => {
    const kms = await openLocalKms(localOptions())
    const { wrapped, masterKeyId } = await kms.wrap(Buffer.from('secret'), context, never)
    const reordered: KmsContext = { keyId: 'k1', purpose: 'signing', tenantId: 'acme' }
    expect(Buffer.from(await kms.unwrap(wrapped, masterKeyId, reordered, never)).toString()).toBe('secret')
    expect(Buffer.from(wrapped).includes('secret')).toBe(false)
  })

  const wrong: Record<string, KmsContext> = {
    'another tenant': { ...context, tenantId: 'acme2' },
    'another purpose': { ...context, purpose: 'pii' },
    'another key id': { ...context, keyId: 'k2' },
    'a missing key id': { tenantId: 'acme', purpose: 'signing' },
    'an empty key id': { ...context, keyId: '' },
  }
  for (const [name, other] of Object.entries(wrong)) {
    test(`${name} is refused`, async () => {
      const kms = await openLocalKms(localOptions())
      const { wrapped, masterKeyId } = await kms.wrap(Buffer.from('secret'), context, never)
      await expect(kms.unwrap(wrapped, masterKeyId, other, never)).rejects.toMatchObject({
        code: 'KMS',
        kmsClass: 'invalid_ciphertext',
      })
    })
  }

  test('every flipped bit and every truncation of a wrapped key is refused', async () => {
    const kms = await openLocalKms(localOptions())
    const { wrapped, masterKeyId } = await kms.generateDataKey(context, never)
    for (let bit = 0; bit < wrapped.length * 8; bit++) {
      const flipped = Uint8Array.from(wrapped)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      await expect(kms.unwrap(flipped, masterKeyId, context, never)).rejects.toMatchObject({
        kmsClass: 'invalid_ciphertext',
      })
    }
    for (let end = 0; end < wrapped.length; end++) {
      await expect(kms.unwrap(wrapped.subarray(0, end), masterKeyId, context, never)).rejects.toMatchObject({
        kmsClass: 'invalid_ciphertext',
      })
    }
  })

  test('a master key that no file holds is not found', async () => {
    const [one, other] = await Promise.all([openLocalKms(localOptions()), openLocalKms(localOptions())])
    const { wrapped, masterKeyId } = await one.wrap(Buffer.from('x'), context, never)
    await expect(other.unwrap(wrapped, masterKeyId, context, never)).rejects.toMatchObject({
      kmsClass: 'key_not_found',
    })
    await expect(other.unwrap(wrapped, other.masterKeyId, context, never)).rejects.toMatchObject({
      kmsClass: 'invalid_ciphertext',
    })
  })

  test('empty and oversized plaintext and ill-formed text are our own mistakes', async () => {
    const kms = await openLocalKms(localOptions())
    for (const size of [0, 4_097]) {
      await expect(kms.wrap(Buffer.alloc(size), context, never)).rejects.toMatchObject({
        kmsClass: 'bad_request',
      })
    }
    expect((await kms.wrap(Buffer.alloc(4_096), context, never)).wrapped.length).toBeGreaterThan(4_096)
    const illFormed: KmsContext = { tenantId: '\ud800', purpose: 'pii' }
    await expect(kms.generateDataKey(illFormed, never)).rejects.toMatchObject({ kmsClass: 'bad_request' })
  })

  test('an aborted call is a timeout', async () => {
    const kms = await openLocalKms(localOptions())
    await expect(kms.generateDataKey(context, AbortSignal.abort())).rejects.toMatchObject({
      kmsClass: 'timeout',
    })
  })

  test('a context of 10 KB works', async () => {
    const kms = await openLocalKms(localOptions())
    const large: KmsContext = { tenantId: 'x'.repeat(10_240), purpose: 'pii' }
    const { wrapped, masterKeyId, plaintext } = await kms.generateDataKey(large, never)
    expect(Buffer.compare(await kms.unwrap(wrapped, masterKeyId, large, never), plaintext)).toBe(0)
  })
})

describe('the key file', () => {
  test('is made with mode 0600 and survives a restart', async () => {
    const options = localOptions({ keyFile: join(temporaryFolder(), 'data', 'local-kms.key') })
    const first = await openLocalKms(options)
    const { wrapped, masterKeyId } = await first.wrap(Buffer.from('x'), context, never)
    expect(statSync(options.keyFile).mode & 0o777).toBe(0o600)
    const second = await openLocalKms(options)
    expect(second.masterKeyId).toBe(first.masterKeyId)
    expect(Buffer.from(await second.unwrap(wrapped, masterKeyId, context, never)).toString()).toBe('x')
  })

  test('works under another name on another machine', async () => {
    const options = localOptions()
    const { wrapped, masterKeyId } = await (await openLocalKms(options)).wrap(
      Buffer.from('x'),
      context,
      never,
    )
    const moved = join(temporaryFolder(), 'restored.key')
    copyFileSync(options.keyFile, moved)
    chmodSync(moved, 0o600)
    const kms = await openLocalKms(localOptions({ keyFile: moved, create: false }))
    expect(Buffer.from(await kms.unwrap(wrapped, masterKeyId, context, never)).toString()).toBe('x')
  })

  test('of 20 openings at once all agree, and nothing else is left in the folder', async () => {
    const options = localOptions()
    const all = await Promise.all(Array.from({ length: 20 }, () => openLocalKms(options)))
    expect(new Set(all.map(({ masterKeyId }) => masterKeyId)).size).toBe(1)
    expect(readdirSync(join(options.keyFile, '..'))).toEqual(['local-kms.key'])
  })

  test('of 4 processes that start at once all agree', async () => {
    const keyFile = join(temporaryFolder(), 'local-kms.key')
    const script = fileURLToPath(new URL('open-local-kms.ts', import.meta.url))
    const ids = await Promise.all(Array.from({ length: 4 }, () => run(process.execPath, [script, keyFile])))
    expect(ids[0]).toMatch(/^local:[A-Za-z0-9_-]{16}$/)
    expect(new Set(ids).size).toBe(1)
  })

  test('is not made by who only reads', async () => {
    const options = localOptions({ create: false })
    await expect(openLocalKms(options)).rejects.toMatchObject({ code: 'CONFIG' })
    expect(existsSync(options.keyFile)).toBe(false)
  })

  const damage: Record<string, readonly [(path: string) => void, RegExp]> = {
    'readable by the group': [
      (path) => chmodSync(path, 0o640),
      /has mode 0640, readable by others: run chmod 600/,
    ],
    'readable by all': [(path) => chmodSync(path, 0o644), /has mode 0644/],
    empty: [(path) => writeFileSync(path, ''), /0 bytes instead of 64/],
    'one byte short': [
      (path) => writeFileSync(path, readFileSync(path).subarray(1)),
      /63 bytes instead of 64/,
    ],
    'one byte long': [(path) => writeFileSync(path, 'x', { flag: 'a' }), /65 bytes instead of 64/],
    'of another version': [(path) => flip(path, 19), /not a local key file of version 1/],
    'damaged in its key': [(path) => flip(path, 30), /its checksum does not match/],
    'damaged in its checksum': [(path) => flip(path, 63), /its checksum does not match/],
  }
  for (const [name, [spoil, message]] of Object.entries(damage)) {
    test(`${name} is refused with one line that names the setting`, async () => {
      const options = localOptions()
      await openLocalKms(options)
      spoil(options.keyFile)
      const before = readFileSync(options.keyFile)
      const refused = await openLocalKms(options).catch((thrown: unknown) => thrown)
      expect(refused).toMatchObject({ code: 'CONFIG' })
      const line = (refused as Error).message // checked the line above
      expect(line).toMatch(message)
      expect(line).toContain('kms.local.key_file: ')
      expect(line).not.toContain('\n')
      expect(readFileSync(options.keyFile)).toEqual(before)
    })
  }

  test('that is a folder, or below a file, is refused', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'local-kms.key'))
    await expect(
      openLocalKms(localOptions({ keyFile: join(folder, 'local-kms.key') })),
    ).rejects.toMatchObject({
      code: 'CONFIG',
    })
    writeFileSync(join(folder, 'file'), '')
    await expect(
      openLocalKms(localOptions({ keyFile: join(folder, 'file', 'local-kms.key') })),
    ).rejects.toMatchObject({
      code: 'CONFIG',
    })
  })
})

describe('tenants with master keys of their own', () => {
  test('each has its own file, and one key does not open the other’s', async () => {
    const options = localOptions({
      tenantKeyMapping: new Map([
        ['acme', 'acme-master'],
        ['__proto__', 'proto'],
      ]),
    })
    const kms = await openLocalKms(options)
    const folder = join(options.keyFile, '..')
    expect(readdirSync(folder).sort()).toEqual([
      'local-kms-acme-master.key',
      'local-kms-proto.key',
      'local-kms.key',
    ])
    const own = await kms.wrap(Buffer.from('x'), context, never)
    const shared = await kms.wrap(Buffer.from('x'), { ...context, tenantId: 'other' }, never)
    const proto = await kms.wrap(Buffer.from('x'), { ...context, tenantId: '__proto__' }, never)
    expect(new Set([own.masterKeyId, shared.masterKeyId, proto.masterKeyId]).size).toBe(3)
    expect(shared.masterKeyId).toBe(kms.masterKeyId)
    const withoutMapping = await openLocalKms({ ...options, tenantKeyMapping: new Map() })
    await expect(withoutMapping.unwrap(own.wrapped, own.masterKeyId, context, never)).rejects.toMatchObject({
      kmsClass: 'key_not_found',
    })
  })

  for (const name of ['', '../x', 'a/b', '.hidden', 'x'.repeat(65)]) {
    test(`a master key called ${JSON.stringify(name.slice(0, 10))} is refused`, async () => {
      const options = localOptions({ tenantKeyMapping: new Map([['acme', name]]) })
      await expect(openLocalKms(options)).rejects.toThrow('kms.tenant_key_mapping.acme: must be a name')
    })
  }
})

describe('production', () => {
  async function logOf(
    start: (log: Awaited<ReturnType<typeof createTelemetry>>['log']) => Promise<unknown>,
  ): Promise<string> {
    const destination = new PassThrough()
    const { log } = await createTelemetry({ level: 'info', encoding: 'json', destination })
    await start(log)
    return String(destination.read() ?? '')
  }

  test('is refused, and makes no key file', async () => {
    const options = localOptions({ nodeEnv: 'production' })
    await expect(openLocalKms(options)).rejects.toThrow('kms.local.allow_in_production')
    expect(existsSync(options.keyFile)).toBe(false)
  })

  test('is possible when it is allowed, and the warning is logged exactly once', async () => {
    const lines = await logOf((log) =>
      openLocalKms(localOptions({ nodeEnv: 'production', allowInProduction: true, log })),
    )
    expect(lines.split('Using LocalKmsAdapter - NOT FOR PRODUCTION USE').length - 1).toBe(1)
    expect(lines).toMatch(/"level":"WARN"[^\n]*NOT FOR PRODUCTION USE/)
    expect(lines).toContain('Initializing KMS provider: local')
  })
})

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at]! ^= 1
  writeFileSync(path, bytes)
}

function run(command: string, args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    child.on('error', reject)
    child.on('close', (code) => (code === 0 ? resolve(output) : reject(new Error(`exit ${code}`))))
  })
}
