// What every failure of every key service must look like, and small acts that the cases share.
import { inspect } from 'node:util'
import { expect } from 'vitest'
import type { KmsContext } from '../../../src/formats/key-context.ts'
import { KMS_CLASSES, type Kms, type KmsClass, KmsError } from '../../../src/kms/kms.ts'
import type { KmsTarget, OpenOptions } from './conformance.ts'
import { FaultProxy } from './fault-proxy.ts'

export const never = new AbortController().signal
export const CONTEXT: KmsContext = { tenantId: 'acme', purpose: 'signing', keyId: 'k1' }

/** Little patience, for cases in which a server never answers well. */
export const IMPATIENT = { connectTimeoutMs: 500, timeoutMs: 500, attemptsMax: 2 }

const RETRYABLE: Readonly<Record<KmsClass, boolean>> = {
  access_denied: false,
  key_disabled: false,
  key_not_found: false,
  throttled: true,
  network: true,
  timeout: true,
  invalid_ciphertext: false,
  bad_request: false,
}

/** The call must fail as the taxonomy says, and what it says of itself must hold no secret. */
export async function expectFailure(
  target: KmsTarget,
  call: Promise<unknown>,
  kmsClass: KmsClass,
  operation: string,
  secrets: readonly string[] = [],
): Promise<KmsError> {
  const thrown: unknown = await call.then(
    () => expect.fail(`${operation} succeeded, and had to fail with ${kmsClass}`),
    (error: unknown) => error,
  )
  expect(thrown, inspect(thrown)).toBeInstanceOf(KmsError)
  const error = thrown as KmsError // asserted the line above
  expect(`${error.operation}: ${error.kmsClass}`, error.logText).toBe(`${operation}: ${kmsClass}`)
  expect(error.isRetryable).toBe(RETRYABLE[kmsClass])
  expect(KMS_CLASSES[error.kmsClass].countsForBreaker).toBe(
    kmsClass !== 'invalid_ciphertext' && kmsClass !== 'bad_request',
  )
  expect(error.name).toBe('KmsException')
  expect(error.runbook.endsWith(`#${kmsClass.replaceAll('_', '-')}`)).toBe(true)
  expect(error.logText).toMatch(new RegExp(`^KmsException ${kmsClass} in ${operation}: .`))
  expect(error.logText).not.toContain('\n')
  expect(error.providerMessage.length).toBeLessThanOrEqual(1_000)
  const everything = inspect(error, { depth: 12, showHidden: true, maxStringLength: null })
  for (const secret of [...target.secrets(), ...secrets]) expect(everything).not.toContain(secret)
  return error
}

/** Opens a client, hands it over and closes it. */
export async function withKms<Result>(
  target: KmsTarget,
  options: OpenOptions,
  use: (kms: Kms) => Promise<Result>,
): Promise<Result> {
  const kms = await target.open(options)
  try {
    return await use(kms)
  } finally {
    await kms.close()
  }
}

/** The same, with a fault proxy between the client and the server. The proxy is well-behaved to begin with. */
export async function withProxiedKms(
  target: KmsTarget,
  options: OpenOptions,
  use: (kms: Kms, proxy: FaultProxy) => Promise<void>,
): Promise<void> {
  const proxy = await FaultProxy.start(target.upstream!()) // cases that come here need `upstream`
  try {
    await withKms(target, { ...options, url: proxy.url }, (kms) => use(kms, proxy))
  } finally {
    await proxy.close()
  }
}

/** A data key is generated, is a key, and opens again to itself. */
export async function roundTrip(kms: Kms, context: KmsContext = CONTEXT): Promise<void> {
  const { plaintext, wrapped, masterKeyId } = await kms.generateDataKey(context, never)
  expect(plaintext.length).toBe(32)
  expect(plaintext.some((byte) => byte !== 0)).toBe(true)
  expect(Buffer.from(wrapped).includes(Buffer.from(plaintext))).toBe(false)
  const opened = await kms.unwrap(wrapped, masterKeyId, context, never)
  expect(Buffer.compare(opened, plaintext)).toBe(0)
}

/** Text runs in an answer that may be a key, in part: what a cut-off answer must not leave in an error. */
export function keyLikeParts(answer: Buffer): string[] {
  return [...answer.toString('latin1').matchAll(/[A-Za-z0-9+/_-]{40,}/g)].map(([run]) => run.slice(0, 16))
}
