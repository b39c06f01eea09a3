import type { GeneratedDataKey, Kms } from '../../../src/kms/kms.ts'

export interface GivenKey {
  readonly provider: string
  readonly masterKeyId: string
  readonly wrappedKey: Uint8Array
  readonly dataKey: Uint8Array
}

/** A key service whose one data key is given, so that what is sealed under it can be foretold. */
export function givenKms(key: GivenKey): Kms {
  const notAsked = async (): Promise<never> => {
    throw new Error('not asked for by vectors')
  }
  return {
    provider: key.provider,
    masterKeyId: key.masterKeyId,
    generateDataKey: async (): Promise<GeneratedDataKey> => ({
      plaintext: Uint8Array.from(key.dataKey),
      wrapped: key.wrappedKey,
      masterKeyId: key.masterKeyId,
    }),
    unwrap: async () => Uint8Array.from(key.dataKey),
    wrap: notAsked,
    describe: notAsked,
    close: async () => {},
  }
}
