// A server with Transit mounted, a token that may use every key and make none, and clients that are closed again.
import { expect } from 'vitest'
import { type Kms, KmsError } from '../../../src/kms/kms.ts'
import { openVaultKms } from '../../../src/kms/vault/open.ts'
import type { VaultKmsOptions } from '../../../src/kms/vault/options.ts'
import { OpenBao } from './vault-server.ts'
import { optionsFor, policyFor } from './vault-target.ts'

export class VaultRig {
  readonly server: OpenBao
  #token = ''
  #made = 0

  private constructor(server: OpenBao) {
    this.server = server
  }

  static async start(mode: 'dev' | 'raft' = 'dev'): Promise<VaultRig> {
    const rig = new VaultRig(await OpenBao.start(mode))
    await rig.server.must('POST', 'sys/mounts/transit', { type: 'transit' })
    await rig.server.must('PUT', 'sys/policies/acl/sidecar', { policy: policyFor('*') })
    await rig.server.must('POST', 'transit/keys/default', { derived: true })
    rig.#token = await rig.createToken({ ttl: '1h' })
    return rig
  }

  stop(): Promise<void> {
    return this.server.stop()
  }

  async createToken(settings: object, namespace?: string): Promise<string> {
    const body = { policies: ['sidecar'], ...settings }
    const inside = namespace === undefined ? {} : { namespace }
    const { auth } = await this.server.must('POST', 'auth/token/create', body, inside)
    return String(auth!.client_token)
  }

  async createKey(settings: object): Promise<string> {
    const name = `key-${this.#made++}`
    await this.server.must('POST', `transit/keys/${name}`, settings)
    return name
  }

  async deleteKey(name: string, mount = 'transit'): Promise<void> {
    await this.server.must('POST', `${mount}/keys/${name}/config`, { deletion_allowed: true })
    await this.server.must('DELETE', `${mount}/keys/${name}`)
  }

  async hasKey(name: string, mount = 'transit'): Promise<boolean> {
    return (await this.server.api('GET', `${mount}/keys/${name}`)).status === 200
  }

  /** Options for the default key. A `raft` server's certificates are named in them. */
  get options(): VaultKmsOptions {
    const { caFile, clientCertFile, clientKeyFile, mode } = this.server
    const files = mode === 'raft' ? { caFile, clientCertFile, clientKeyFile } : {}
    return { ...optionsFor(this.server, this.#token), ...files }
  }

  async withKms(changes: Partial<VaultKmsOptions>, use: (kms: Kms) => Promise<unknown>): Promise<void> {
    const kms = await openVaultKms({ ...this.options, ...changes })
    try {
      await use(kms)
    } finally {
      await kms.close()
    }
  }
}

export async function expectClass(call: Promise<unknown>, kmsClass: string): Promise<void> {
  const thrown: unknown = await call.then(
    () => expect.fail(`succeeded, and had to fail with ${kmsClass}`),
    (error: unknown) => error,
  )
  expect(thrown).toBeInstanceOf(KmsError)
  expect(thrown).toMatchObject({ kmsClass })
}
