// OpenBao Transit as a target of the conformance suite, once with keys that derive from the context and once with keys
// that authenticate it.

import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { openVaultKms } from '../../../src/kms/vault/open.ts'
import type { VaultKmsOptions } from '../../../src/kms/vault/options.ts'
import type { KmsTarget, OpenOptions } from './conformance.ts'
import { OpenBao } from './vault-server.ts'

export const secret = (text: string) => ({ reveal: () => text })

export const REQUEST = { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 3 }

/** A policy that grants what the sidecar needs on the keys that `pattern` names, and no more. */
export function policyFor(pattern: string): string {
  return [
    `path "transit/keys/${pattern}" { capabilities = ["read"] }`,
    ...['datakey/plaintext', 'encrypt', 'decrypt', 'sign'].map(
      (verb) => `path "transit/${verb}/${pattern}" { capabilities = ["update"] }`,
    ),
  ].join('\n')
}

export function vaultTarget(keyOptions: object): KmsTarget {
  let server: OpenBao
  let token = ''
  let made = 0
  const createKey = async (options: object = keyOptions): Promise<string> => {
    const name = `key-${made++}`
    await server.must('POST', `transit/keys/${name}`, options)
    return name
  }
  const tokenWith = async (policies: string[]): Promise<string> => {
    const { auth } = await server.must('POST', 'auth/token/create', { policies, ttl: '1h' })
    return String(auth!.client_token)
  }
  const open = (options: OpenOptions, withToken = token) =>
    openVaultKms(optionsFor(server, withToken, options))
  const softDelete = async (key: string): Promise<void> => {
    await server.must('POST', `transit/keys/${key}/config`, { deletion_allowed: true })
    await server.must('DELETE', `transit/keys/${key}/soft-delete`)
  }
  return {
    provider: 'vault',
    cannot: {},
    start: async () => {
      server = await OpenBao.start('dev')
      await server.must('POST', 'sys/mounts/transit', { type: 'transit' })
      await server.must('POST', 'transit/keys/default', keyOptions)
      await server.must('PUT', 'sys/policies/acl/sidecar', { policy: policyFor('*') })
      await server.must('PUT', 'sys/policies/acl/other', { policy: policyFor('other') })
      token = await tokenWith(['sidecar'])
    },
    stop: () => server.stop(),
    open: (options) => open(options),
    createKey: () => createKey(),
    unknownKey: () => 'transit/no-such-key',
    unknownKeyToOpen: () => 'no-such-key',
    secrets: () => [token, server.rootToken],
    upstream: () => ({ upstream: server.url, layer: 'http' }),
    throttledAnswer: {
      status: 429,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ errors: ['request path "transit/encrypt/default": rate limit quota exceeded'] }),
    },
    brokenAnswer: {
      status: 500,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        errors: ['1 error occurred:\n\t* local node not active but active cluster node not found\n\n'],
      }),
    },
    disableKey: softDelete,
    scheduleDeletion: softDelete,
    rotateKey: async (key) => {
      await server.must('POST', `transit/keys/${key}/rotate`)
    },
    openDenied: async (options) => ({
      kms: await open(options, await tokenWith(['other'])),
      restore: async () => {},
    }),
    createSigningKey: (algorithm) => createKey({ type: algorithm === 'p256' ? 'ecdsa-p256' : 'ed25519' }),
  }
}

/** Options that open the default key of a server, or what `options` says instead. */
export function optionsFor(server: OpenBao, token: string, options: OpenOptions = {}): VaultKmsOptions {
  return {
    address: options.url ?? server.url,
    mount: 'transit',
    keyName: options.masterKey ?? 'default',
    token: secret(token),
    tenantKeyMapping: options.tenantKeys ?? new Map(),
    request: options.request ?? REQUEST,
    log: silentTelemetry().log,
  }
}
