// The rule packs that come with the sidecar. `default` is all of them.
import type { Rule } from '../options.ts'
import { CREDENTIALS } from './credentials.ts'
import { IDENTITY } from './identity.ts'
import { NETWORK } from './network.ts'
import { PAYMENT } from './payment.ts'

export interface Pack {
  readonly name: string
  readonly description: string
  readonly rules: readonly Rule[]
}

/** Credentials come first: what is a secret and something else too is masked, not sealed. */
export const PACKS: readonly Pack[] = [
  {
    name: 'default',
    description: 'credentials, payment, identity and network, in this order',
    rules: [...CREDENTIALS, ...PAYMENT, ...IDENTITY, ...NETWORK],
  },
  { name: 'credentials', description: 'masks passwords, tokens, keys and cookies', rules: CREDENTIALS },
  { name: 'payment', description: 'seals payment card and bank account numbers', rules: PAYMENT },
  {
    name: 'identity',
    description: 'seals names, e-mail, phone; pseudonymises user and session ids',
    rules: IDENTITY,
  },
  { name: 'network', description: 'pseudonymises IP addresses of clients', rules: NETWORK },
]

export function packByName(name: string): Pack | undefined {
  return PACKS.find((pack) => pack.name === name)
}
