// The key announcement: what a resource carries so that values sealed under a data key stay readable for years.
// Format: proto/sealed-value.md §3. One canonical text, and its hash is the key's name, so it vouches for itself.
import { SidecarError } from '../base/errors.ts'
import { KEY_PURPOSES, type KeyPurpose, type KmsContext } from './key-context.ts'
import { base64urlBytes, CLASS_PATTERN, isKid, shortHash } from './sealed-value.ts'

export const ANNOUNCEMENT_KEY_PREFIX = 'betrace.key.'
export const ANNOUNCEMENT_BYTES_MAX = 16_384
export const CLASSES_MAX = 64

const MASTER_KEY_ID_BYTES_MAX = 2_048
const KID_LABEL = 'betrace/key-announcement/v1'

export interface Announcement {
  readonly provider: string
  readonly masterKeyId: string
  readonly context: KmsContext
  readonly wrappedKey: Uint8Array
  /** 32 bytes. */
  readonly commitment: Uint8Array
  /** Milliseconds since the epoch. */
  readonly createdMs: number
  /** Whoever opens a value tries these in order. */
  readonly classes: readonly string[]
  /** Whether values are bound to the ids of the span or log record they stand in. */
  readonly idsBound: boolean
  /** Whether plaintexts are filled up to size classes. */
  readonly padded: boolean
  /** Empty when no tenant secret is mixed in. */
  readonly tenantSecretId: string
}

/** The canonical text. Throws INTERNAL for what no reader would accept. */
export function formatAnnouncement(announcement: Announcement): string {
  const text = write(announcement, { commitment: Buffer.from(announcement.commitment).toString('base64url') })
  if (readAnnouncement(text) === undefined)
    throw new SidecarError('INTERNAL', 'key announcement out of bounds')
  return text
}

/** `undefined` unless the text is an announcement in canonical form, within its bounds. */
export function parseAnnouncement(text: string): Announcement | undefined {
  const announcement = readAnnouncement(text)
  if (announcement === undefined) return undefined
  return formatAnnouncement(announcement) === text ? announcement : undefined
}

/** What the keys are derived from beside the data key: the text as it was before they were, without the commitment. */
export function announcedFacts(announcement: Omit<Announcement, 'commitment'>): string {
  return write(announcement, {})
}

function write(announcement: Omit<Announcement, 'commitment'>, commitment: { commitment?: string }): string {
  const { tenantId, purpose, keyId } = announcement.context
  return JSON.stringify({
    v: 1,
    provider: announcement.provider,
    masterKeyId: announcement.masterKeyId,
    context: keyId === undefined ? { tenantId, purpose } : { tenantId, purpose, keyId },
    wrappedKey: Buffer.from(announcement.wrappedKey).toString('base64url'),
    ...commitment,
    created: new Date(announcement.createdMs).toISOString(),
    classes: announcement.classes,
    idsBound: announcement.idsBound,
    padded: announcement.padded,
    tenantSecretId: announcement.tenantSecretId,
  })
}

/** The name of the key that this text announces. */
export function announcementKid(text: string): string {
  return shortHash(KID_LABEL, Buffer.from(text, 'utf8'))
}

/** The attribute key under which the text travels. */
export function announcementKey(text: string): string {
  return ANNOUNCEMENT_KEY_PREFIX + announcementKid(text)
}

/** Whether an incoming attribute is an announcement under its own name; a forged or broken one is not. */
export function isAnnouncement(attributeKey: string, text: string): boolean {
  return (
    text.length <= ANNOUNCEMENT_BYTES_MAX &&
    attributeKey === announcementKey(text) &&
    parseAnnouncement(text) !== undefined
  )
}

function readAnnouncement(text: string): Announcement | undefined {
  if (text.length > ANNOUNCEMENT_BYTES_MAX || !text.isWellFormed()) return undefined
  if (Buffer.byteLength(text) > ANNOUNCEMENT_BYTES_MAX) return undefined
  const fields = parseObject(text)
  if (fields === undefined || fields.get('v') !== 1) return undefined
  const provider = textField(fields, 'provider', 32)
  const masterKeyId = textField(fields, 'masterKeyId', MASTER_KEY_ID_BYTES_MAX)
  const context = readContext(fields.get('context'))
  const wrappedKey = bytesField(fields, 'wrappedKey')
  const commitment = bytesField(fields, 'commitment')
  const createdMs = readTime(fields.get('created'))
  const classes = readClasses(fields.get('classes'))
  const idsBound = fields.get('idsBound')
  const isPadded = fields.get('padded')
  const tenantSecretId = fields.get('tenantSecretId')
  if (provider === undefined || masterKeyId === undefined || context === undefined) return undefined
  if (wrappedKey === undefined || wrappedKey.length === 0 || commitment?.length !== 32) return undefined
  if (createdMs === undefined || classes === undefined) return undefined
  if (typeof idsBound !== 'boolean' || typeof isPadded !== 'boolean') return undefined
  if (typeof tenantSecretId !== 'string' || (tenantSecretId !== '' && !isKid(tenantSecretId)))
    return undefined
  return {
    provider,
    masterKeyId,
    context,
    wrappedKey,
    commitment,
    createdMs,
    classes,
    idsBound,
    padded: isPadded,
    tenantSecretId,
  }
}

function parseObject(text: string): Map<string, unknown> | undefined {
  try {
    return asMap(JSON.parse(text))
  } catch {
    return undefined
  }
}

function asMap(value: unknown): Map<string, unknown> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return new Map(Object.entries(value))
}

function textField(fields: Map<string, unknown>, name: string, bytesMax: number): string | undefined {
  const value = fields.get(name)
  return typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= bytesMax ? value : undefined
}

function bytesField(fields: Map<string, unknown>, name: string): Uint8Array | undefined {
  const value = fields.get(name)
  return typeof value === 'string' ? base64urlBytes(value) : undefined
}

function readContext(value: unknown): KmsContext | undefined {
  const fields = asMap(value)
  const tenantId = fields?.get('tenantId')
  const purpose = KEY_PURPOSES.find((known: KeyPurpose) => known === fields?.get('purpose'))
  const keyId = fields?.get('keyId')
  if (typeof tenantId !== 'string' || purpose === undefined) return undefined
  if (keyId === undefined) return { tenantId, purpose }
  return typeof keyId === 'string' ? { tenantId, purpose, keyId } : undefined
}

function readTime(value: unknown): number | undefined {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value)) return undefined
  const ms = Date.parse(value)
  return Number.isNaN(ms) ? undefined : ms
}

function readClasses(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > CLASSES_MAX) return undefined
  if (new Set(value).size !== value.length) return undefined
  return value.every((name) => typeof name === 'string' && CLASS_PATTERN.test(name)) ? value : undefined
}
