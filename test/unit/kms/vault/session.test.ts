// The life of a token, with time and timers in our hands. What a real server does with tokens is shown elsewhere.
import { describe, expect, test } from 'vitest'
import { KmsError } from '../../../../src/kms/kms.ts'
import { VaultHttp } from '../../../../src/kms/vault/http.ts'
import type { VaultToken } from '../../../../src/kms/vault/login.ts'
import { VaultSession } from '../../../../src/kms/vault/session.ts'
import { capturedLog, errors, ManualTimers, type Script, ScriptedVault } from './scripted.ts'

const never = new AbortController().signal
const HOUR_MS = 3_600_000

describe('renewal', () => {
  for (const [random, share] of [
    [0, 0.6],
    [0.999_999, 0.75],
  ] as const) {
    test(`falls at ${share} of the lease when chance says ${random}`, async () => {
      await using rig = await Rig.start({ random })
      await rig.session.token(never)
      expect(rig.timers.pending).toHaveLength(1)
      expect(rig.timers.pending[0]! / HOUR_MS).toBeCloseTo(share, 5)
    })
  }

  test('goes on with the same token and the lease that the server grants', async () => {
    await using rig = await Rig.start({})
    const token = await rig.session.token(never)
    await rig.fire(() => rig.timers.pending.length === 1)
    expect(rig.vault.asked).toMatchObject([
      { method: 'POST', path: 'auth/token/renew-self', token: 'token-1' },
    ])
    expect(await rig.session.token(never)).toBe(token)
    expect(rig.loginCount).toBe(1)
  })

  test('turns into a login when the granted lease nears its maximum', async () => {
    await using rig = await Rig.start({ script: () => renewed(HOUR_MS * 0.49) })
    await rig.session.token(never)
    await rig.fire(() => rig.timers.pending.length === 1)
    expect(rig.loginCount).toBe(1)
    await rig.fire(() => rig.loginCount === 2 && rig.timers.pending.length === 1)
    expect(rig.vault.paths).toEqual(['auth/token/renew-self'])
    expect(await rig.session.token(never)).toBe('token-2')
  })

  test('that ends after a login does not bring the older token back', async () => {
    const gate = Promise.withResolvers<void>()
    let isDone = false
    await using rig = await Rig.start({
      script: async (_, { response }) => {
        response.on('close', () => {
          isDone = true
        })
        await gate.promise
        return renewed(HOUR_MS)
      },
    })
    const older = await rig.session.token(never)
    await rig.fire(() => rig.vault.paths.length === 1)
    expect(await rig.session.replacementOf(older, never)).toBe('token-2')
    gate.resolve()
    while (!isDone) await new Promise((done) => setImmediate(done))
    expect(await rig.session.token(never)).toBe('token-2')
    await rig.fire(() => rig.vault.paths.length === 2)
    expect(rig.vault.asked.at(-1)).toMatchObject({ path: 'auth/token/renew-self', token: 'token-2' })
  })

  test('turns into a login when the server refuses it', async () => {
    await using rig = await Rig.start({ script: () => errors(403, 'permission denied') })
    await rig.session.token(never)
    await rig.fire(() => rig.loginCount === 2 && rig.timers.pending.length === 1)
    expect(await rig.session.token(never)).toBe('token-2')
  })

  test('is a login at once for a token that cannot be renewed', async () => {
    await using rig = await Rig.start({ token: { isRenewable: false } })
    await rig.session.token(never)
    await rig.fire(() => rig.loginCount === 2 && rig.timers.pending.length === 1)
    expect(rig.vault.asked).toEqual([])
  })

  test('that meets a dead server is tried again, sooner as the end comes nearer, and calls go on', async () => {
    await using rig = await Rig.start({ script: () => errors(503, 'Vault is sealed'), random: 0.5 })
    const token = await rig.session.token(never)
    const waits: number[] = []
    while (rig.timers.nowMs < HOUR_MS * 0.99) {
      await rig.fire(() => rig.timers.pending.length === 1)
      waits.push(rig.timers.pending[0]!)
      expect(await rig.session.token(never)).toBe(token)
    }
    expect(Math.max(...waits)).toBe(30_000)
    expect(rig.log()).toContain('Vault token not renewed: KmsException network')
    expect(rig.loginCount).toBe(1)
  })

  test('never waits longer than a timer can', async () => {
    await using rig = await Rig.start({ token: { leaseMs: 365 * 24 * HOUR_MS } })
    await rig.session.token(never)
    expect(rig.timers.pending).toEqual([2 ** 31 - 1])
  })

  test('is not planned for a token without end', async () => {
    await using rig = await Rig.start({ token: { leaseMs: 0 } })
    await rig.session.token(never)
    expect(rig.timers.pending).toEqual([])
  })

  test('of a token that was given ends with it: the end is logged beforehand', async () => {
    await using rig = await Rig.start({ isRepeatable: false, token: { isRenewable: false } })
    await rig.session.token(never)
    expect(rig.timers.pending).toEqual([])
    expect(rig.log()).toContain('the Vault token cannot be renewed and will end')
  })
})

describe('login', () => {
  test('is one for all who wait, and outlives those who give up', async () => {
    await using rig = await Rig.start({ isHeld: true })
    const impatient = new AbortController()
    const calls = [
      rig.session.token(impatient.signal),
      ...Array.from({ length: 99 }, () => rig.session.token(never)),
    ]
    impatient.abort()
    await expect(calls[0]).rejects.toMatchObject({ kmsClass: 'timeout', operation: 'login' })
    rig.release()
    expect(new Set(await Promise.all(calls.slice(1)))).toEqual(new Set(['token-1']))
    expect(rig.loginCount).toBe(1)
  })

  test('replaces a token whose lease is over', async () => {
    await using rig = await Rig.start({})
    expect(await rig.session.token(never)).toBe('token-1')
    rig.timers.nowMs += HOUR_MS
    expect(await rig.session.token(never)).toBe('token-2')
  })

  test('that is denied is repeated after 1, 2, 4 … 60 s, and each call between hears why', async () => {
    await using rig = await Rig.start({})
    rig.failure = new KmsError('access_denied', 'login', 'invalid role or secret ID')
    for (const waitMs of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
      const before = rig.loginCount
      await expect(rig.session.token(never)).rejects.toBe(rig.failure)
      rig.timers.nowMs += waitMs - 1
      await expect(rig.session.token(never)).rejects.toBe(rig.failure)
      expect(rig.loginCount).toBe(before + 1)
      rig.timers.nowMs += 1
    }
    rig.failure = undefined
    expect(await rig.session.token(never)).toMatch(/^token-/)
    rig.failure = new KmsError('access_denied', 'login', 'again')
    rig.timers.nowMs += HOUR_MS
    await expect(rig.session.token(never)).rejects.toBe(rig.failure)
    rig.timers.nowMs += 1_000
    rig.failure = undefined
    expect(await rig.session.token(never)).toMatch(/^token-/)
  })

  test('that met a dead server is repeated with the next call', async () => {
    await using rig = await Rig.start({})
    rig.failure = new KmsError('network', 'login', 'connect ECONNREFUSED')
    await expect(rig.session.token(never)).rejects.toBe(rig.failure)
    rig.failure = undefined
    expect(await rig.session.token(never)).toBe('token-2')
  })
})

describe('a refused token', () => {
  test('is replaced by one login, whoever asks', async () => {
    await using rig = await Rig.start({})
    const refused = await rig.session.token(never)
    const calls = Array.from({ length: 50 }, () => rig.session.replacementOf(refused, never))
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['token-2']))
    expect(await rig.session.replacementOf(refused, never)).toBe('token-2')
    expect(rig.loginCount).toBe(2)
  })

  test('that lives is not replaced again, for 30 s after a replacement that did not help', async () => {
    await using rig = await Rig.start({ script: () => ({ status: 200, body: { data: {} } }) })
    await rig.session.token(never)
    expect(await rig.session.replacementOf('token-1', never)).toBe('token-2')
    rig.session.noteFruitless()
    rig.timers.nowMs += 29_999
    expect(await rig.session.replacementOf('token-2', never)).toBe(undefined)
    expect(rig.vault.paths).toEqual(['auth/token/lookup-self'])
    rig.timers.nowMs += 1
    expect(await rig.session.replacementOf('token-2', never)).toBe('token-3')
  })

  test('that is dead is replaced in those 30 s too', async () => {
    await using rig = await Rig.start({ script: () => errors(403, 'permission denied') })
    await rig.session.token(never)
    await rig.session.replacementOf('token-1', never)
    rig.session.noteFruitless()
    expect(await rig.session.replacementOf('token-2', never)).toBe('token-3')
  })

  test('that was given and revoked: the log says what to do, each half minute at most', async () => {
    await using rig = await Rig.start({ isRepeatable: false, script: () => errors(403, 'permission denied') })
    const token = await rig.session.token(never)
    for (let count = 0; count < 20; count++)
      expect(await rig.session.replacementOf(token, never)).toBe(undefined)
    const said = /kms\.vault\.token is read at start only: give another and restart, or use token_file/g
    expect(rig.log().match(said)).toHaveLength(1)
    expect(rig.vault.paths).toEqual(['auth/token/lookup-self'])
    rig.timers.nowMs += 30_000
    await rig.session.replacementOf(token, never)
    expect(rig.log().match(said)).toHaveLength(2)
  })

  test('that was given and lives is none that ended: a permission is missing', async () => {
    await using rig = await Rig.start({
      isRepeatable: false,
      script: () => ({ status: 200, body: { data: {} } }),
    })
    await rig.session.replacementOf(await rig.session.token(never), never)
    expect(rig.log()).not.toContain('read at start only')
  })

  test('that was given has no replacement', async () => {
    await using rig = await Rig.start({ isRepeatable: false })
    expect(await rig.session.replacementOf(await rig.session.token(never), never)).toBe(undefined)
  })
})

describe('the end', () => {
  test('revokes a token that is ours, calls renewal off, and takes no more calls', async () => {
    await using rig = await Rig.start({ namespace: 'team' })
    await rig.session.token(never)
    await rig.session.close()
    expect(rig.vault.asked).toMatchObject([
      { path: 'auth/token/revoke-self', token: 'token-1', namespace: 'team' },
    ])
    expect(rig.timers.pending).toEqual([])
  })

  test('leaves a token alone that was given', async () => {
    await using rig = await Rig.start({ isRepeatable: false })
    await rig.session.token(never)
    await rig.session.close()
    expect(rig.vault.asked).toEqual([])
  })

  test('is no failure when the server is gone', async () => {
    await using rig = await Rig.start({ script: () => errors(503, 'Vault is sealed') })
    await rig.session.token(never)
    await rig.session.close()
  })
})

interface RigOptions {
  readonly script?: Script
  readonly token?: Partial<VaultToken>
  readonly isRepeatable?: boolean
  readonly isHeld?: boolean
  readonly random?: number
  readonly namespace?: string
}

const renewed = (leaseMs: number) => ({
  status: 200,
  body: { auth: { client_token: 'token', lease_duration: leaseMs / 1_000, renewable: true } },
})

/** A session with a login that hands out token-1, token-2 … and fails when it is told to. */
class Rig {
  readonly vault: ScriptedVault
  readonly session: VaultSession
  readonly timers = new ManualTimers()
  readonly log: () => string
  readonly #http: VaultHttp
  readonly #gate = Promise.withResolvers<void>()
  loginCount = 0
  failure: KmsError | undefined

  private constructor(
    vault: ScriptedVault,
    http: VaultHttp,
    log: Awaited<ReturnType<typeof capturedLog>>,
    options: RigOptions,
  ) {
    this.vault = vault
    this.#http = http
    this.log = log.text
    if (options.isHeld !== true) this.#gate.resolve()
    const isRepeatable = options.isRepeatable ?? true
    this.session = new VaultSession({
      http,
      login: {
        method: isRepeatable ? 'AppRole' : 'token',
        ownsToken: isRepeatable,
        isRepeatable,
        login: async () => {
          const serial = ++this.loginCount
          await this.#gate.promise
          if (this.failure !== undefined) throw this.failure
          return { text: `token-${serial}`, leaseMs: HOUR_MS, isRenewable: true, ...options.token }
        },
      },
      namespace: options.namespace,
      log: log.log,
      monotonicMs: this.timers.monotonicMs,
      random: () => options.random ?? 0,
      schedule: this.timers.schedule,
    })
  }

  static async start(options: RigOptions): Promise<Rig> {
    const vault = await ScriptedVault.start(options.script ?? (() => renewed(HOUR_MS)))
    const http = await VaultHttp.open({
      address: new URL(vault.url),
      tlsFiles: { caFile: undefined, clientCertFile: undefined, clientKeyFile: undefined },
      connectTimeoutMs: 1_000,
      timeoutMs: 5_000,
    })
    return new Rig(vault, http, await capturedLog(), options)
  }

  release(): void {
    this.#gate.resolve()
  }

  /** Runs the timer that is set, and waits for what it must bring about. */
  async fire(holds: () => boolean): Promise<void> {
    this.timers.fire()
    const deadline = performance.now() + 5_000
    while (!holds()) {
      if (performance.now() > deadline) throw new Error('not within 5 s')
      await new Promise((done) => setImmediate(done))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    expect(this.log()).not.toContain('token-')
    this.#http.close()
    await this.vault[Symbol.asyncDispose]()
  }
}
