// The master keys of `local`: the default one, and beside it those that tenants have of their own.
import { createHash, createSecretKey, type KeyObject } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SidecarError } from '../../base/errors.ts'
import type { NamedMasterKey } from '../kms.ts'
import { createKeyFile, type KeyFile, keyFileError, readKeyFile } from './key-file.ts'

export interface MasterKey {
  readonly id: string
  readonly key: KeyObject
}

/** A tenant's own key file that is lost or damaged: the tenant is refused, and nobody else. */
export interface UnusableMasterKey {
  readonly id: string
  /** Names the setting and the file. */
  readonly problem: string
}

export interface KeyFileSettings {
  /** The default master key. Other keys stand beside it. */
  readonly keyFile: string
  /** Tenant → name of a master key of its own, which stands in `local-kms-<name>.key` beside the default. */
  readonly tenantKeyMapping: ReadonlyMap<string, string>
}

export interface LocalMasterKeySettings extends KeyFileSettings {
  /** Makes key files that are not there. Who only reads old values leaves it off, so that a wrong path is an error. */
  readonly create: boolean
  /** Master keys of this provider that stored records name; looked at when a file is missing. None when absent. */
  readonly namedKeys?: (() => Iterable<NamedMasterKey>) | undefined
}

export interface LocalMasterKeys {
  readonly fallback: MasterKey
  readonly ofTenants: ReadonlyMap<string, MasterKey | UnusableMasterKey>
}

const LOST =
  'does not exist, and stored records name a master key that no file beside it holds: put the lost file back'

/**
 * Opens the key files, or makes them. Throws CONFIG with one line that names the setting and the file; a tenant's own file
 * does so only where none are made, since a sidecar that starts serves the others.
 */
export async function openMasterKeys(settings: LocalMasterKeySettings): Promise<LocalMasterKeys> {
  const [main, ...own] = keyFiles(settings)
  const fallback = await openMasterKey(settings, main)
  const ofTenants = new Map<string, MasterKey | UnusableMasterKey>()
  for (const { tenants = [], ...file } of own) {
    const key = await openMasterKey(settings, file, tenants).catch((thrown: unknown) => {
      if (settings.create && thrown instanceof SidecarError && thrown.code === 'CONFIG')
        return { id: `local:unusable:${settings.tenantKeyMapping.get(tenants[0]!)}`, problem: thrown.message }
      throw thrown
    })
    for (const tenant of tenants) ofTenants.set(tenant, key)
  }
  return { fallback, ofTenants }
}

/** A look at each key file that is there; each throws CONFIG as the opening would. */
export function checkLocalFiles(settings: KeyFileSettings): readonly (() => Promise<void>)[] {
  return keyFiles(settings).map((file) => async () => {
    const bytes = await readKeyFile(file)
    bytes?.fill(0)
  })
}

interface UsedKeyFile extends KeyFile {
  /** Whose own key it is; absent: everybody's who has none. */
  readonly tenants?: readonly string[]
}

/** The default one first. */
function keyFiles({ keyFile, tenantKeyMapping }: KeyFileSettings): readonly [UsedKeyFile, ...UsedKeyFile[]] {
  const byName = Map.groupBy(tenantKeyMapping.keys(), (tenant) => tenantKeyMapping.get(tenant)!)
  const own = [...byName].map(([name, tenants]) => ({
    path: join(dirname(keyFile), `local-kms-${name}.key`),
    setting: ['tenant_key_mapping', tenants[0]!],
    tenants,
  }))
  return [{ path: keyFile, setting: ['local', 'key_file'] }, ...own]
}

/** `tenants` are those whose own key it is; all others have the default one. */
async function openMasterKey(
  settings: LocalMasterKeySettings,
  file: KeyFile,
  tenants?: readonly string[],
): Promise<MasterKey> {
  const bytes = await readKeyFile(file)
  if (bytes !== undefined) return masterKey(bytes)
  if (!settings.create) throw keyFileError(file, 'does not exist')
  const lost = await findLost(settings, tenants)
  if (lost === undefined) return masterKey(await createKeyFile(file))
  const setting = tenants === undefined ? file.setting : ['tenant_key_mapping', lost.tenant]
  throw keyFileError({ ...file, setting }, LOST)
}

/**
 * A master key that records need and no file holds, so that the missing file may be the one that held it. A tenant's own
 * key is looked for among that tenant's records; the default one has been everybody's at some time.
 */
async function findLost(
  { keyFile, namedKeys = () => [] }: LocalMasterKeySettings,
  tenants: readonly string[] | undefined,
): Promise<NamedMasterKey | undefined> {
  const held = await idsBeside(keyFile)
  for (const named of namedKeys()) {
    const isOfFile = tenants === undefined || tenants.includes(named.tenant)
    if (isOfFile && !held.has(named.masterKeyId)) return named
  }
  return undefined
}

/** Of all key files in the folder, also of those that no tenant uses any more. One that cannot be read holds nothing. */
async function idsBeside(keyFile: string): Promise<ReadonlySet<string>> {
  const folder = dirname(keyFile)
  const names = await readdir(folder).catch(() => [])
  const paths = names.filter((name) => /^local-kms.*\.key$/.test(name)).map((name) => join(folder, name))
  const ids = new Set<string>()
  for (const path of new Set([keyFile, ...paths])) {
    const bytes = await readKeyFile({ path, setting: ['local', 'key_file'] }).catch(() => undefined)
    if (bytes !== undefined) ids.add(masterKey(bytes).id)
  }
  return ids
}

/** Zeroes the bytes. */
function masterKey(bytes: Buffer): MasterKey {
  // The id is a hash of the key: a wrong file is "not found", not "does not decrypt", wherever the file was moved.
  const hash = createHash('sha256').update('betrace/local-kms-id/v1\0').update(bytes).digest('base64url')
  const key = createSecretKey(bytes)
  bytes.fill(0)
  return { id: `local:${hash.slice(0, 16)}`, key }
}
