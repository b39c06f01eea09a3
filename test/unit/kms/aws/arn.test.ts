import { describe, expect, test } from 'vitest'
import { type AwsSettings, areReplicas, parseKeyArn, readAwsKeys } from '../../../../src/kms/aws/arn.ts'
import { ARN } from './answers.ts'

const MRK = 'arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab'
const REPLICA = MRK.replace('eu-west-1', 'us-east-2')
const settings = (overrides: Partial<AwsSettings>): AwsSettings => ({
  masterKeyId: ARN,
  region: '',
  endpoint: undefined,
  replicas: [],
  tenantKeyMapping: new Map(),
  useFipsEndpoint: false,
  ...overrides,
})

describe('the ARN of a key', () => {
  const good = {
    [ARN]: 'eu-west-1',
    [MRK]: 'eu-west-1',
    'arn:aws-cn:kms:cn-north-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab': 'cn-north-1',
    'arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab': 'us-gov-west-1',
    'arn:aws-iso-b:kms:us-isob-east-1:111122223333:key/x': 'us-isob-east-1',
  }
  for (const [arn, region] of Object.entries(good)) {
    test(`${arn} is of ${region}`, () => expect(parseKeyArn(arn)).toEqual({ id: arn, region }))
  }

  const bad = [
    '',
    'alias/betrace',
    '1234abcd-12ab-34cd-56ef-1234567890ab',
    'arn:aws:kms:eu-west-1:111122223333:alias/betrace',
    'arn:aws:kms::111122223333:key/x',
    'arn:aws:kms:eu-west-1:1111:key/x',
    'arn:aws:s3:eu-west-1:111122223333:key/x',
    'arn:aws:kms:eu-west-1:111122223333:key/',
    'arn:aws:kms:eu-west-1:111122223333:key/../x',
    'arn:aws:kms:evil.example/#-1:111122223333:key/x',
    'arn:aws:kms:eu-west-1.evil-1:111122223333:key/x',
    'arn:aws:kms:eu-west-1:111122223333:key/x\n',
    ` ${ARN}`,
    `${ARN}x`.padEnd(200, 'x'),
  ]
  for (const text of bad) {
    test(`${JSON.stringify(text.slice(0, 60))} is none`, () => expect(parseKeyArn(text)).toBeUndefined())
  }
})

describe('replicas', () => {
  const key = (arn: string) => parseKeyArn(arn)!
  test('share account and multi-Region id', () => {
    expect(areReplicas(key(MRK), key(REPLICA))).toBe(true)
    expect(areReplicas(key(MRK), key(REPLICA.replace('111122223333', '999988887777')))).toBe(false)
    expect(areReplicas(key(MRK), key(REPLICA.replace('mrk-1', 'mrk-2')))).toBe(false)
  })
  test('do not exist of single-Region keys, whose ids may be equal', () => {
    expect(areReplicas(key(ARN), key(ARN.replace('eu-west-1', 'us-east-2')))).toBe(false)
  })
})

describe('settings', () => {
  test('the region comes from the ARN, and every key keeps its own', () => {
    const tenantKeyMapping = new Map([
      ['acme', ARN.replace('eu-west-1', 'ap-south-1')],
      ['__proto__', ARN],
    ])
    const keys = readAwsKeys(settings({ masterKeyId: MRK, replicas: [REPLICA], tenantKeyMapping }))
    expect(keys.primary).toEqual({ id: MRK, region: 'eu-west-1' })
    expect(keys.replicas).toEqual([{ id: REPLICA, region: 'us-east-2' }])
    expect(keys.ofTenants.get('acme')?.region).toBe('ap-south-1')
    expect(keys.ofTenants.get('__proto__')?.id).toBe(ARN)
  })

  const refused: Record<string, readonly [Partial<AwsSettings>, RegExp]> = {
    'no key': [
      { masterKeyId: '' },
      /^kms\.aws\.master_key_id: is needed; the full ARN of the key, arn:aws:kms:</,
    ],
    'an alias': [
      { masterKeyId: 'alias/betrace' },
      /^kms\.aws\.master_key_id: is an alias; give the full ARN/,
    ],
    'an alias in full': [
      { masterKeyId: 'arn:aws:kms:eu-west-1:111122223333:alias/betrace' },
      /^kms\.aws\.master_key_id: is an alias/,
    ],
    'a bare id': [
      { masterKeyId: '1234abcd-12ab-34cd-56ef-1234567890ab', region: 'eu-west-1' },
      /^kms\.aws\.master_key_id: is not a full ARN; give .*only with kms\.aws\.endpoint/,
    ],
    'another region than the ARN’s': [
      { region: 'us-east-1' },
      /^kms\.aws\.region: differs from eu-west-1, the region in kms\.aws\.master_key_id$/,
    ],
    'a bare id without a region': [
      { masterKeyId: 'x', endpoint: 'http://127.0.0.1:1' },
      /^kms\.aws\.region: is needed/,
    ],
    'a replica of another key': [
      { masterKeyId: MRK, replicas: [REPLICA, ARN] },
      /^kms\.replicas\[1\]: is no replica of kms\.aws\.master_key_id/,
    ],
    'a replica of a single-Region key': [
      { replicas: [ARN.replace('eu-west-1', 'us-east-2')] },
      /^kms\.replicas\[0\]: is no replica/,
    ],
    'a replica by alias': [{ masterKeyId: MRK, replicas: ['alias/x'] }, /^kms\.replicas\[0\]: is an alias/],
    'a tenant’s key by alias': [
      { tenantKeyMapping: new Map([['acme', 'alias/acme']]) },
      /^kms\.tenant_key_mapping\.acme: is an alias/,
    ],
    'a tenant without a key': [
      { endpoint: 'http://127.0.0.1:1', tenantKeyMapping: new Map([['acme', '']]) },
      /^kms\.tenant_key_mapping\.acme: is needed/,
    ],
  }
  for (const [name, [overrides, message]] of Object.entries(refused)) {
    test(`${name} is refused with one line that names the setting`, () => {
      let thrown: unknown
      try {
        readAwsKeys(settings(overrides))
      } catch (error) {
        thrown = error
      }
      expect(thrown).toMatchObject({ code: 'CONFIG' })
      const line = (thrown as Error).message // checked the line above
      expect(line).toMatch(message)
      expect(line).not.toContain('\n')
    })
  }

  test('an emulator takes aliases and bare ids, in the region that is set', () => {
    const keys = readAwsKeys(
      settings({
        masterKeyId: 'alias/betrace',
        region: 'eu-west-1',
        endpoint: 'http://127.0.0.1:1',
        tenantKeyMapping: new Map([['acme', 'some-id']]),
      }),
    )
    expect(keys.primary).toEqual({ id: 'alias/betrace', region: 'eu-west-1' })
    expect(keys.ofTenants.get('acme')).toEqual({ id: 'some-id', region: 'eu-west-1' })
  })
})
