// The whole sidecar on key services as an operator sets them up: the tutorial's steps, from the first look at health to
// a value opened again with nothing but an exported file and the key service.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeTraces } from '../../../bench/payload.ts'
import { ADMIN_TOKEN, betrace, Sidecar } from '../sidecar.ts'
import { missingToolchain } from '../tools.ts'
import { emulatorsMissing, startMinistack } from './aws-emulators.ts'
import { AwsAdmin, OWNER, REGION } from './aws-target.ts'
import { VaultRig } from './vault-rig.ts'

interface KeyService {
  /** The `kms` section and the environment of a sidecar that uses it. */
  readonly kms: Readonly<Record<string, unknown>>
  readonly env: Readonly<Record<string, string>>
  stop(): Promise<void>
}

const SERVICES: readonly {
  provider: string
  missing: string | undefined
  start: () => Promise<KeyService>
}[] = [
  {
    provider: 'vault',
    missing: missingToolchain('python'),
    start: async () => {
      const rig = await VaultRig.start()
      const { address, token } = rig.options
      return {
        kms: { provider: 'vault', vault: { address, key_name: 'default', token: token?.reveal() } },
        env: {},
        stop: () => rig.stop(),
      }
    },
  },
  {
    provider: 'aws',
    missing: emulatorsMissing,
    start: async () => {
      const emulator = await startMinistack()
      const key = await new AwsAdmin(() => emulator).createKey({})
      return {
        kms: { provider: 'aws', aws: { master_key_id: key, region: REGION, endpoint: emulator.url } },
        env: { AWS_ACCESS_KEY_ID: OWNER.accessKeyId, AWS_SECRET_ACCESS_KEY: OWNER.secretAccessKey },
        stop: () => emulator.stop(),
      }
    },
  },
]

for (const { provider, missing, start } of SERVICES) {
  describe.skipIf(missing !== undefined)(`a sidecar on ${provider}`, () => {
    let service: KeyService
    let sidecar: Sidecar
    let output: string
    const admin = async (path: string, body?: object): Promise<Record<string, unknown>> => {
      const answer = await fetch(`http://127.0.0.1:${sidecar.ports.admin}${path}`, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
      })
      return (await answer.json()) as Record<string, unknown>
    }

    beforeAll(async () => {
      service = await start()
      sidecar = await Sidecar.start({
        exporters: (directory) => ({ 'file/out': { path: `${directory}/out.jsonl` } }),
        kms: service.kms,
        env: service.env,
      })
      output = `${sidecar.directory}/out.jsonl`
    })
    afterAll(async () => {
      await sidecar?.remove()
      await service?.stop()
    })

    test('is ready, says which key service it uses, and does not warn of the local one', async () => {
      const { checks } = await admin('/q/health/ready')
      expect(checks).toContainEqual({
        name: 'kms',
        status: 'UP',
        data: { provider, latency_ms: expect.any(Number), status: 'operational' },
      })
      expect(sidecar.process.output).toContain(`Initializing KMS provider: ${provider}`)
      expect(sidecar.process.output).not.toContain('LocalKmsAdapter')
    })

    test('passes every step of the validation, and a key can be retrieved', async () => {
      expect(await admin('/api/admin/kms/validate', {})).toMatchObject({ provider, overall: 'PASS' })
      expect(
        await admin('/api/admin/kms/test-key-retrieval', {
          tenantId: '00000000-0000-0000-0000-000000000001',
        }),
      ).toMatchObject({ status: 'success' })
    })

    test('seals and signs what it is sent', async () => {
      const answer = await fetch(`${sidecar.httpEndpoint}/v1/traces`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-protobuf' },
        body: makeTraces({ spans: 8, seed: 5, compliance: true }) as NonNullable<RequestInit['body']>,
      })
      expect(answer.status).toBe(200)
      await expect
        .poll(() => existsSync(output) && readFileSync(output, 'utf8').includes('enc.v1.'), {
          timeout: 10_000,
        })
        .toBe(true)
      const verified = await betrace('verify', '--trust', await sidecar.exportKeys(), output)
      expect(verified).toMatchObject({ code: 0 })
    })

    test('and with the sidecar stopped and its data gone, the exported file opens with the key service alone', async () => {
      expect(await sidecar.process.stop()).toBe(0)
      rmSync(sidecar.dataDirectory, { recursive: true })
      Object.assign(process.env, service.env)
      const revealed = await betrace('reveal', '--config', sidecar.configFile, '--json', output)
      expect(revealed).toMatchObject({ code: 0 })
      const [file] = JSON.parse(revealed.stdout).files
      // The type is the report's own; the rest of the values are what the packs find beside addresses.
      const values: { opened: boolean; value: { stringValue?: string } }[] = file.values
      expect(values.filter(({ opened }) => !opened)).toEqual([])
      const addresses = values.filter(({ value }) =>
        /^[a-z.0-9]+(?:@|%40)[a-z.]+$/.test(value.stringValue ?? ''),
      )
      expect(addresses).toHaveLength(16)
    })
  })
}
