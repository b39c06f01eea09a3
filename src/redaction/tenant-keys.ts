// What redaction needs of the keys, declared here: keys/ has its own types, and the pipeline joins them.

export interface TenantKeys {
  readonly tenant: string
  /** `'mask'`: no key is usable and the configuration says to mask instead. `undefined`: not loaded yet. */
  readonly sealer: Sealer | 'mask' | undefined
  readonly pseudonymizer: Pseudonymizer | 'mask' | undefined
}

export interface Sealer {
  /** `betrace.key.<kid>` */
  readonly announcementKey: string
  readonly announcement: string
  /** Tokens in the order of `items`. */
  sealAll(items: readonly SealItem[]): string[]
}

export interface SealItem {
  /** An encoded AnyValue. A view of the request's bytes where that is enough: not to be kept. */
  readonly plaintext: Uint8Array
  readonly attributeKey: string
  readonly dataClass: string
}

export interface Pseudonymizer {
  /** `value` is the bytes inside the AnyValue. `beaconBits` under 128 keeps only so many. */
  pseudonym(dataClass: string, value: Uint8Array, beaconBits?: number): string
}
