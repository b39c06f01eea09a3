// Two stand-ins for AWS KMS, each right where the other is wrong, started on loopback by whoever tests against them.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts, ServiceProcess } from '../service-process.ts'
import { missingToolchain } from '../tools.ts'
import { pythonVenv } from './python-venv.ts'

/** Why neither can be had here, or `undefined` when both can. */
export const emulatorsMissing = missingToolchain('python')

export interface Emulator {
  /** `http://127.0.0.1:<port>`, for every service and region. */
  readonly url: string
  stop(): Promise<void>
}

/** Keys and ciphertexts live in its memory. Enforces IAM when told to, see `enforceIam`. */
export async function startMoto(): Promise<Emulator> {
  const venv = await pythonVenv('moto', ['moto[server]==5.2.5'])
  const [port] = await freePorts(1)
  return await start(`http://127.0.0.1:${port}`, '/moto-api/data.json', {
    command: join(venv, 'bin/python'),
    args: ['-c', 'from moto.server import main; main()', '-H', '127.0.0.1', '-p', String(port)],
  })
}

export async function startMinistack(): Promise<Emulator> {
  const venv = await pythonVenv('ministack', ['ministack==1.5.33', 'cryptography==50.0.2'])
  const [port] = await freePorts(1)
  // It writes where it runs and where HOME is, so it gets a folder of its own.
  const folder = mkdtempSync(join(tmpdir(), 'betrace-ministack-'))
  const emulator = await start(`http://127.0.0.1:${port}`, '/_localstack/health', {
    command: join(venv, 'bin/python'),
    args: ['-m', 'ministack'],
    cwd: folder,
    env: {
      GATEWAY_PORT: String(port),
      BIND_HOST: '127.0.0.1',
      SERVICES: 'kms,sts,iam',
      STATE_DIR: folder,
      HOME: folder,
    },
  })
  return {
    url: emulator.url,
    stop: async () => {
      await emulator.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function start(
  url: string,
  health: string,
  service: ConstructorParameters<typeof ServiceProcess>[0],
): Promise<Emulator> {
  const server = new ServiceProcess(service)
  try {
    await server.untilReady(`${url}${health}`, 120_000)
  } catch (error) {
    await server.kill()
    throw error
  }
  return {
    url,
    stop: async () => {
      await server.stop(5_000)
    },
  }
}

/** From now on moto checks signatures and policies; the function that comes back ends that. */
export async function enforceIam(moto: Emulator): Promise<() => Promise<void>> {
  const setUnchecked = async (actionCount: string): Promise<void> => {
    const answer = await fetch(`${moto.url}/moto-api/reset-auth`, { method: 'POST', body: actionCount })
    if (!answer.ok) throw new Error(`reset-auth answered ${answer.status}`)
  }
  await setUnchecked('0')
  return () => setUnchecked('1000000000')
}

export interface AccessKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** A user without any permission, made through the query API of moto's IAM. */
export async function createStranger(moto: Emulator): Promise<AccessKey> {
  await query(moto, 'CreateUser')
  const xml = await query(moto, 'CreateAccessKey')
  const part = (name: string): string => {
    const value = new RegExp(`<${name}>([^<]+)</${name}>`).exec(xml)?.[1]
    if (value === undefined) throw new Error(`the answer to CreateAccessKey has no ${name}`)
    return value
  }
  return { accessKeyId: part('AccessKeyId'), secretAccessKey: part('SecretAccessKey') }
}

async function query(moto: Emulator, action: string): Promise<string> {
  const answer = await fetch(moto.url, {
    method: 'POST',
    headers: {
      // The service is told by the credential's scope; nothing checks the signature now.
      authorization:
        'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0',
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: new URLSearchParams({ Action: action, Version: '2010-05-08', UserName: 'stranger' }).toString(),
  })
  const xml = await answer.text()
  if (!answer.ok) throw new Error(`${action} answered ${answer.status}: ${xml}`)
  return xml
}
