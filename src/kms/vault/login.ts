// The ways to a token: one that is given, one that somebody else keeps in a file, AppRole, and Kubernetes.
import assert from 'node:assert'
import { readFile } from 'node:fs/promises'
import { asKmsError, KmsError } from '../kms.ts'
import { answerError, field, numberField, textField, unusableAnswer } from './errors.ts'
import type { VaultHttp } from './http.ts'
import { type VaultKmsOptions, type VaultSettings, vaultSetting } from './options.ts'
import { namespaceHeader } from './path.ts'

export interface VaultToken {
  /** Secret. */
  readonly text: string
  /** 0: it does not end, or nobody says when. */
  readonly leaseMs: number
  readonly isRenewable: boolean
}

export interface VaultLogin {
  /** For logs. */
  readonly method: 'token' | 'token file' | 'AppRole' | 'Kubernetes'
  /** Whether a token that it hands out is ours alone, to be revoked when we are done. */
  readonly ownsToken: boolean
  /** Whether doing it again can bring another token. */
  readonly isRepeatable: boolean
  login(abort: AbortSignal): Promise<VaultToken>
}

const SERVICE_ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token'
const OPERATION = 'login'

/** The settings have been checked. */
export function chooseLogin(options: VaultKmsOptions, http: VaultHttp): VaultLogin {
  const { token, tokenFile, roleId, kubernetesRole, appRoleMount, kubernetesMount } = options
  if (token !== undefined) return givenToken(http, options, token.reveal())
  if (tokenFile !== undefined) return tokenInFile(http, options, tokenFile)
  if (roleId !== undefined) {
    const secret_id = options.secretId
    return {
      method: 'AppRole',
      ownsToken: true,
      isRepeatable: true,
      // A role may be bound by address alone and have no secret.
      login: (abort) =>
        authenticate(http, options, appRoleMount ?? 'approle', abort, () => ({
          role_id: roleId,
          ...(secret_id === undefined ? {} : { secret_id: secret_id.reveal() }),
        })),
    }
  }
  if (kubernetesRole !== undefined) {
    const file = options.kubernetesTokenFile ?? SERVICE_ACCOUNT_TOKEN
    return {
      method: 'Kubernetes',
      ownsToken: true,
      isRepeatable: true,
      login: (abort) =>
        authenticate(http, options, kubernetesMount ?? 'kubernetes', abort, async () => ({
          role: kubernetesRole,
          jwt: await readSecretFile(file), // the kubelet replaces it every hour
        })),
    }
  }
  assert.fail('settings without a way to log in are refused before')
}

type Credentials = Pick<
  VaultSettings,
  'token' | 'tokenFile' | 'roleId' | 'kubernetesRole' | 'kubernetesTokenFile'
>

/**
 * One line when the token that a file should hold is not there; `undefined` when it is, or when no file is asked for one.
 * No reason not to start: whoever writes the file may be late.
 */
export async function findLateCredential(settings: Credentials): Promise<string | undefined> {
  const { token, tokenFile, roleId, kubernetesRole, kubernetesTokenFile } = settings
  if (token !== undefined) return undefined
  const isKubernetes = tokenFile === undefined && roleId === undefined && kubernetesRole !== undefined
  const path = tokenFile ?? (isKubernetes ? (kubernetesTokenFile ?? SERVICE_ACCOUNT_TOKEN) : undefined)
  if (path === undefined) return undefined
  try {
    await readSecretFile(path)
    return undefined
  } catch (thrown) {
    const setting = isKubernetes ? 'kubernetes_token_file' : 'token_file'
    const { providerMessage } = asKmsError(thrown, OPERATION)
    return vaultSetting(setting, `${providerMessage}; there is no login until a token stands in it`).message
  }
}

function givenToken(http: VaultHttp, options: VaultKmsOptions, text: string): VaultLogin {
  return {
    method: 'token',
    ownsToken: false,
    isRepeatable: false,
    login: (abort) => lookUp(http, options, text, abort),
  }
}

function tokenInFile(http: VaultHttp, options: VaultKmsOptions, path: string): VaultLogin {
  return {
    method: 'token file',
    ownsToken: false,
    isRepeatable: true,
    // Whoever writes the file renews the token; doing it here as well would only hide that they stopped.
    login: async (abort) => ({
      ...(await lookUp(http, options, await readSecretFile(path), abort)),
      isRenewable: false,
    }),
  }
}

async function authenticate(
  http: VaultHttp,
  options: VaultKmsOptions,
  mount: string,
  abort: AbortSignal,
  credentials: () => object | Promise<object>,
): Promise<VaultToken> {
  const answer = await http.send(
    OPERATION,
    {
      method: 'POST',
      path: `auth/${mount}/login`,
      headers: namespaceHeader(options.namespace),
      body: await credentials(),
    },
    abort,
  )
  if (answer.status !== 200) throw loginError(answerError(OPERATION, answer))
  const auth = field(answer.body, 'auth')
  const text = textField(auth, 'client_token')
  if (text === undefined || !isHeaderText(text)) throw unusableAnswer(OPERATION)
  return {
    text,
    leaseMs: (numberField(auth, 'lease_duration') ?? 0) * 1_000,
    isRenewable: field(auth, 'renewable') === true,
  }
}

// A wrong role or secret is 400, a method that is not mounted 403 or 404: to us each is a login that was refused.
function loginError(error: KmsError): KmsError {
  if (error.isRetryable || error.kmsClass === 'access_denied') return error
  return new KmsError('access_denied', OPERATION, error.providerMessage, { cause: error })
}

/** How long a token lasts. One that may not look itself up works all the same, without renewal. */
async function lookUp(
  http: VaultHttp,
  options: VaultKmsOptions,
  text: string,
  abort: AbortSignal,
): Promise<VaultToken> {
  if (!isHeaderText(text))
    throw new KmsError('access_denied', OPERATION, 'token holds characters that no token has')
  const headers = { ...namespaceHeader(options.namespace), 'X-Vault-Token': text }
  const answer = await http.send(OPERATION, { method: 'GET', path: 'auth/token/lookup-self', headers }, abort)
  if (answer.status !== 200) {
    // Whatever is wrong for good, the call that needs the token hears it better.
    const error = answerError(OPERATION, answer)
    if (error.isRetryable) throw error
  }
  const data = field(answer.body, 'data')
  return {
    text,
    leaseMs: (numberField(data, 'ttl') ?? 0) * 1_000,
    isRenewable: field(data, 'renewable') === true,
  }
}

/** Whoever writes the file may be late, or replacing it just now: a fetch that failed, not a refusal. */
async function readSecretFile(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((thrown: unknown) => {
    throw new KmsError('network', OPERATION, `${path} cannot be read`, { cause: thrown })
  })
  if (text.trim() === '') throw new KmsError('network', OPERATION, `${path} is empty`)
  return text.trim()
}

function isHeaderText(text: string): boolean {
  return /^[\x21-\x7e]{1,8192}$/.test(text)
}
