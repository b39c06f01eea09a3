// Pseudonym keys that several sidecars are given at start, so that equal values join across replicas that share no disk.
// Wrapped, so the file is no secret without the key service. Format: proto/sealed-value.md §6.
import { randomBytes } from 'node:crypto'
import { SidecarError } from '../../base/errors.ts'
import { type KmsContext, serialiseContext } from '../../formats/key-context.ts'
import { hkdfSha256 } from '../../formats/key-derivation.ts'
import { PseudonymKey } from '../../formats/pseudonym.ts'
import { base64urlBytes, isKid, shortHash } from '../../formats/sealed-value.ts'
import type { Kms } from '../../kms/kms.ts'
import { type KeyRecord, KeyRecordError } from '../records/key-record.ts'

/** One wrapped key of the file. */
export interface GivenKey {
  readonly id: string
  readonly provider: string
  readonly masterKeyId: string
  readonly wrappedKey: Uint8Array
}

/** A tenant's own key wins over the one that is derived from the shared root. */
export interface GivenPseudonymKeys {
  readonly shared: GivenKey | undefined
  readonly tenants: ReadonlyMap<string, GivenKey>
}

const ROOT_LABEL = 'betrace/pseudonym-root/v1'
const SHARED_TENANT = '*'
const FILE_CHARS_MAX = 16 * 1024 * 1024

/** The text of a file, or the same text given by an environment variable. Throws CONFIG with what is wrong, without values. */
export function parsePseudonymKeys(text: string): GivenPseudonymKeys {
  const file = text.length > FILE_CHARS_MAX ? undefined : asMap(parseJson(text))
  if (file?.get('v') !== 1) throw malformed('is not a file that betrace keys share-pseudonyms wrote')
  const rawShared = file.get('shared')
  const shared = rawShared === undefined || rawShared === null ? undefined : readKey(asMap(rawShared))
  const tenants = new Map<string, GivenKey>()
  const rawTenants = file.get('tenants') ?? []
  if (!Array.isArray(rawTenants)) throw malformed('tenants must be a list')
  for (const entry of rawTenants) {
    const fields = asMap(entry)
    const tenant = fields?.get('tenant')
    if (typeof tenant !== 'string' || tenant === '' || tenants.has(tenant))
      throw malformed('each of tenants needs a tenant id of its own')
    tenants.set(tenant, readKey(fields))
  }
  if (shared === undefined && tenants.size === 0) throw malformed('holds no key')
  return { shared, tenants }
}

export function formatPseudonymKeys({ shared, tenants }: GivenPseudonymKeys): string {
  const fields = (key: GivenKey): object => ({
    id: key.id,
    provider: key.provider,
    masterKeyId: key.masterKeyId,
    wrappedKey: Buffer.from(key.wrappedKey).toString('base64url'),
  })
  const file = {
    v: 1,
    ...(shared && { shared: fields(shared) }),
    tenants: [...tenants].map(([tenant, key]) => ({ tenant, ...fields(key) })),
  }
  return `${JSON.stringify(file, undefined, 2)}\n`
}

/** A new root, from which every tenant without a key of its own gets one. Rejects with `KmsError`. */
export async function createSharedRoot(kms: Kms, abort: AbortSignal): Promise<GivenKey> {
  const root = randomBytes(32)
  try {
    const id = shortHash(ROOT_LABEL, root)
    const { wrapped, masterKeyId } = await kms.wrap(root, rootContext(id), abort)
    return { id, provider: kms.provider, masterKeyId, wrappedKey: wrapped }
  } finally {
    root.fill(0)
  }
}

/** A new key of one tenant's own, which ends the joins with the one before. Rejects with `KmsError`. */
export async function createGivenKey(kms: Kms, tenant: string, abort: AbortSignal): Promise<GivenKey> {
  const bytes = randomBytes(32)
  try {
    const id = new PseudonymKey(bytes).kid
    const context = { tenantId: tenant, purpose: 'pseudonym', keyId: id } as const
    const { wrapped, masterKeyId } = await kms.wrap(bytes, context, abort)
    return { id, provider: kms.provider, masterKeyId, wrappedKey: wrapped }
  } finally {
    bytes.fill(0)
  }
}

/** A tenant's key as its record in the key store holds it: the same context, so it needs no unwrapping. */
export function givenKeyOf({ id, provider, masterKeyId, wrappedKey }: KeyRecord): GivenKey {
  return { id, provider, masterKeyId, wrappedKey }
}

/** The same keys under the master key of `to`: after a change of master keys, values go on joining. Rejects with `KmsError`. */
export async function rewrapGivenKeys(
  given: GivenPseudonymKeys,
  from: Kms,
  to: Kms,
  abort: AbortSignal,
): Promise<GivenPseudonymKeys> {
  const rewrap = async (key: GivenKey, context: KmsContext): Promise<GivenKey> => {
    const bytes = await unwrap(from, key, context, abort)
    try {
      const { wrapped, masterKeyId } = await to.wrap(bytes, context, abort)
      return { id: key.id, provider: to.provider, masterKeyId, wrappedKey: wrapped }
    } finally {
      bytes.fill(0)
    }
  }
  const tenants = new Map<string, GivenKey>()
  for (const [tenant, key] of given.tenants)
    tenants.set(tenant, await rewrap(key, { tenantId: tenant, purpose: 'pseudonym', keyId: key.id }))
  const shared = given.shared && (await rewrap(given.shared, rootContext(given.shared.id)))
  return { shared, tenants }
}

/** The tenant's key, when it was given one. Rejects with `KmsError`, and `KeyRecordError` when it is not what its id says. */
export async function openGivenKey(
  given: GivenPseudonymKeys,
  kms: Kms,
  tenant: string,
  abort: AbortSignal,
): Promise<PseudonymKey | undefined> {
  const own = given.tenants.get(tenant)
  if (own !== undefined) {
    const bytes = await unwrap(kms, own, { tenantId: tenant, purpose: 'pseudonym', keyId: own.id }, abort)
    const key = new PseudonymKey(bytes)
    bytes.fill(0)
    if (key.kid !== own.id) throw new KeyRecordError('pseudonym', tenant, own.id)
    return key
  }
  if (given.shared === undefined) return undefined
  const root = await unwrap(kms, given.shared, rootContext(given.shared.id), abort)
  const isRoot = shortHash(ROOT_LABEL, root) === given.shared.id
  const bytes = derivePseudonymKey(root, tenant)
  root.fill(0)
  const key = new PseudonymKey(bytes)
  bytes.fill(0)
  if (!isRoot) throw new KeyRecordError('pseudonym', SHARED_TENANT, given.shared.id)
  return key
}

/** 32 bytes; the caller zeroes them. */
export function derivePseudonymKey(root: Uint8Array, tenant: string): Uint8Array {
  const context = serialiseContext({ tenantId: tenant, purpose: 'pseudonym' })
  const info = Buffer.concat([Buffer.from(`${ROOT_LABEL}\0`), context])
  return hkdfSha256(root, new Uint8Array(0), info, 32)
}

const rootContext = (id: string): KmsContext => ({
  tenantId: SHARED_TENANT,
  purpose: 'pseudonym',
  keyId: id,
})

async function unwrap(kms: Kms, key: GivenKey, context: KmsContext, abort: AbortSignal): Promise<Uint8Array> {
  const bytes = await kms.unwrap(key.wrappedKey, key.masterKeyId, context, abort)
  if (bytes.length === 32) return bytes
  bytes.fill(0)
  throw new KeyRecordError('pseudonym', context.tenantId, key.id)
}

function readKey(fields: ReadonlyMap<string, unknown> | undefined): GivenKey {
  const text = (name: string): string => {
    const value = fields?.get(name)
    if (typeof value !== 'string' || value === '')
      throw malformed('a key needs id, provider, masterKeyId and wrappedKey, all text')
    return value
  }
  const wrappedKey = base64urlBytes(text('wrappedKey'))
  if (wrappedKey === undefined || !isKid(text('id')))
    throw malformed('the id or the wrapped key of an entry is not base64url')
  return { id: text('id'), provider: text('provider'), masterKeyId: text('masterKeyId'), wrappedKey }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function asMap(value: unknown): ReadonlyMap<string, unknown> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return new Map(Object.entries(value))
}

const malformed = (what: string): SidecarError =>
  new SidecarError('CONFIG', `kms.pseudonym_key_file: ${what}`)
