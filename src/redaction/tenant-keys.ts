import type { Pseudonymizer } from '../formats/pseudonym.ts'
import type { Sealer } from '../formats/sealed-value.ts'

/** The keys of one tenant, as far as they are at hand. */
export interface TenantKeys {
  readonly tenant: string
  /** `'mask'`: no key is usable and the configuration says to mask instead. `undefined`: not loaded yet. */
  readonly sealer: Sealer | 'mask' | undefined
  readonly pseudonymizer: Pseudonymizer | 'mask' | undefined
}
