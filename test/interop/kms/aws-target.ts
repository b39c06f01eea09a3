// AWS KMS as the suite's target, over either emulator.
import {
  CreateKeyCommand,
  type CreateKeyCommandInput,
  DisableKeyCommand,
  KMSClient,
  RotateKeyOnDemandCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { openAwsKms } from '../../../src/kms/aws/open.ts'
import type { Kms } from '../../../src/kms/kms.ts'
import {
  type AccessKey,
  createStranger,
  type Emulator,
  emulatorsMissing,
  enforceIam,
} from './aws-emulators.ts'
import type { KmsTarget, OpenOptions } from './conformance.ts'
import type { Fault, HttpAnswer, ProxiedRequest } from './fault-proxy.ts'

export const REGION = 'eu-west-1'
export const OWNER: AccessKey = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
}
const UNKNOWN = `arn:aws:kms:${REGION}:000000000000:key/00000000-0000-4000-8000-000000000000`
const SKEW_MS_MAX = 300_000

export function awsTarget(
  startEmulator: () => Promise<Emulator>,
  cannot: KmsTarget['cannot'],
  more: Pick<KmsTarget, 'otherKeyRefusedAs'> & { readonly hooks: readonly ('rotateKey' | 'openDenied')[] },
): KmsTarget {
  const { hooks, ...quirks } = more
  let emulator: Emulator | undefined
  let defaultKey = ''
  const admin = new AwsAdmin(() => emulator!)
  const secrets: string[] = [OWNER.secretAccessKey]

  const open = (options: OpenOptions, credentials = OWNER): Promise<Kms> =>
    openAwsKms({
      masterKeyId: options.masterKey ?? defaultKey,
      region: REGION,
      endpoint: options.url ?? emulator!.url,
      useFipsEndpoint: false,
      replicas: [],
      tenantKeyMapping: options.tenantKeys ?? new Map(),
      request: options.request ?? { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 3 },
      log: silentTelemetry().log,
      credentials,
    })

  return {
    ...quirks,
    provider: 'aws',
    cannot,
    missing: emulatorsMissing,
    start: async () => {
      emulator = await startEmulator()
      defaultKey = await admin.createKey({})
    },
    stop: async () => {
      admin.close()
      await emulator?.stop()
    },
    open,
    createKey: () => admin.createKey({}),
    unknownKey: () => UNKNOWN,
    unknownKeyToOpen: () => UNKNOWN,
    secrets: () => secrets,
    upstream: () => ({ upstream: emulator!.url, layer: 'http' }),
    throttledAnswer: awsError(400, 'ThrottlingException', 'Rate exceeded'),
    brokenAnswer: awsError(500, 'KMSInternalException', 'internal'),
    clockGate,
    disableKey: (key) => admin.disableKey(key),
    scheduleDeletion: (key) => admin.scheduleDeletion(key),
    createSigningKey: (algorithm) =>
      admin.createKey({
        KeyUsage: 'SIGN_VERIFY',
        KeySpec: algorithm === 'ed25519' ? 'ECC_NIST_EDWARDS25519' : 'ECC_NIST_P256',
      }),
    ...(hooks.includes('rotateKey') && { rotateKey: (key: string) => admin.rotateKey(key) }),
    ...(hooks.includes('openDenied') && {
      openDenied: async (options: OpenOptions) => {
        const stranger = await createStranger(emulator!)
        secrets.push(stranger.secretAccessKey)
        const restore = await enforceIam(emulator!)
        return { kms: await open(options, stranger), restore }
      },
    }),
  }
}

/** What an administrator does to keys, with the SDK itself. Clients are made when the emulator's address is known. */
export class AwsAdmin {
  readonly #emulator: () => Emulator
  #client: KMSClient | undefined

  constructor(emulator: () => Emulator) {
    this.#emulator = emulator
  }

  get client(): KMSClient {
    this.#client ??= new KMSClient({ region: REGION, endpoint: this.#emulator().url, credentials: OWNER })
    return this.#client
  }

  /** The new key's ARN. */
  async createKey(input: CreateKeyCommandInput): Promise<string> {
    const { KeyMetadata } = await this.client.send(new CreateKeyCommand(input))
    const arn = KeyMetadata?.Arn
    if (arn === undefined) throw new Error('CreateKey answered without an ARN')
    return arn
  }

  async disableKey(key: string): Promise<void> {
    await this.client.send(new DisableKeyCommand({ KeyId: key }))
  }

  async scheduleDeletion(key: string): Promise<void> {
    await this.client.send(new ScheduleKeyDeletionCommand({ KeyId: key, PendingWindowInDays: 7 }))
  }

  async rotateKey(key: string): Promise<void> {
    await this.client.send(new RotateKeyOnDemandCommand({ KeyId: key }))
  }

  close(): void {
    this.#client?.destroy()
  }
}

export function awsError(
  status: number,
  name: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): HttpAnswer {
  return {
    status,
    headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-errortype': name, ...headers },
    body: JSON.stringify({ __type: name, message }),
  }
}

/** As the service does: a signature more than five minutes off is refused, and the answer carries the true time. */
function clockGate(request: ProxiedRequest, nowMs: number): Fault {
  const signed = String(request.headers['x-amz-date'])
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(signed) ?? []
  const signedMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  if (Math.abs(signedMs - nowMs) <= SKEW_MS_MAX) return { kind: 'none' }
  const how = signedMs < nowMs ? 'Signature expired' : 'Signature not yet current'
  const date = new Date(nowMs).toUTCString()
  return { kind: 'answer', answer: awsError(400, 'InvalidSignatureException', `${how}: ${signed}`, { date }) }
}
