// Statements in their one protobuf form (proto/evidence.md §3): fields in order, defaults left out, shortest varints.
// Reading is reading and writing again: what does not come out as it went in is refused.
import { createHash } from 'node:crypto'
import { SidecarError } from '../base/errors.ts'
import { Fields, readFixed64, readUint64 } from '../wire/reader.ts'
import { Wire } from '../wire/schema.ts'
import { Writer } from '../wire/write.ts'

export const Kind = { BATCH: 1, BOOT: 2, SHUTDOWN: 3, HEARTBEAT: 4, TOMBSTONE: 5 } as const
export type Kind = (typeof Kind)[keyof typeof Kind]

/** Why leaves of a batch will not arrive. */
export const Reason = { NOT_STORED: 1, DEAD_LETTER: 2, DROPPED: 3 } as const
export type Reason = (typeof Reason)[keyof typeof Reason]

export interface LeafRange {
  readonly first: number
  readonly count: number
}

export interface Tombstone {
  readonly bootId: Uint8Array
  readonly number: number
  readonly ranges: readonly LeafRange[]
  readonly reason: Reason
}

/** What a leaf covers beside the span itself; `undefined` in a statement is DEFAULT_COVERAGE. */
export interface Coverage {
  readonly resourceAttributes: readonly string[]
  readonly mutable: readonly string[]
}

export interface Statement {
  readonly kind: Kind
  readonly instanceId: string
  /** 16 bytes. */
  readonly bootId: Uint8Array
  readonly tenant: string
  readonly number: number
  readonly timeNs: bigint
  /** SHA-256 of the statement before; empty in a tenant's first. */
  readonly previous: Uint8Array
  readonly policyId: Uint8Array
  readonly keyId: string
  readonly leafCount?: number
  readonly root?: Uint8Array
  readonly coverage?: Coverage
  readonly tombstone?: Tombstone
}

/** What a statement without a coverage covers (proto/evidence.md §1). */
export const DEFAULT_COVERAGE: Coverage = {
  resourceAttributes: ['service.name', 'service.namespace', 'service.instance.id', 'betrace.tenant'],
  mutable: [],
}

/** Whether a statement leaves this coverage out, since it is the default. */
export function isDefaultCoverage(coverage: Coverage): boolean {
  return Buffer.compare(encodeCoverage(coverage), encodeCoverage(DEFAULT_COVERAGE)) === 0
}

export interface SignedStatement {
  readonly statement: Uint8Array
  readonly signature: Uint8Array
}

/** DSSE payload type of a statement. */
export const STATEMENT_TYPE = 'application/vnd.betrace.evidence.statement.v1'

const HASH_BYTES = 32
const BOOT_ID_BYTES = 16
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What Ed25519 signs: DSSE's pre-authentication encoding. */
export function pae(type: string, payload: Uint8Array): Uint8Array {
  const head = `DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `
  return Buffer.concat([Buffer.from(head), payload])
}

export function statementHash(statement: Uint8Array): Uint8Array {
  return createHash('sha256').update(statement).digest()
}

export function encodeStatement(statement: Statement): Uint8Array {
  const out = new Writer()
  putUint(out, 1, statement.kind)
  putString(out, 2, statement.instanceId)
  putBytes(out, 3, statement.bootId)
  putString(out, 4, statement.tenant)
  putUint(out, 5, statement.number)
  if (statement.timeNs !== 0n) {
    out.tag(6, Wire.FIXED64)
    out.fixed64(statement.timeNs)
  }
  putBytes(out, 7, statement.previous)
  putBytes(out, 8, statement.policyId)
  putString(out, 9, statement.keyId)
  putUint(out, 10, statement.leafCount ?? 0)
  if (statement.root !== undefined) putBytes(out, 11, statement.root)
  if (statement.coverage !== undefined) out.bytes(12, encodeCoverage(statement.coverage))
  if (statement.tombstone !== undefined) out.bytes(13, encodeTombstone(statement.tombstone))
  return out.finish()
}

/** Throws MALFORMED for anything but a statement's canonical form. */
export function decodeStatement(bytes: Uint8Array): Statement {
  const fields = new Fields(bytes)
  const found: { -readonly [K in keyof Statement]?: Statement[K] } = {}
  while (fields.next()) {
    const { field } = fields
    if (field === 1)
      found.kind = uint(fields) as Kind // checked by `assertStatement`
    else if (field === 2) found.instanceId = text(fields)
    else if (field === 3) found.bootId = content(fields)
    else if (field === 4) found.tenant = text(fields)
    else if (field === 5) found.number = uint(fields)
    else if (field === 6) found.timeNs = fixed64(fields)
    else if (field === 7) found.previous = content(fields)
    else if (field === 8) found.policyId = content(fields)
    else if (field === 9) found.keyId = text(fields)
    else if (field === 10) found.leafCount = uint(fields)
    else if (field === 11) found.root = content(fields)
    else if (field === 12) found.coverage = decodeCoverage(content(fields))
    else if (field === 13) found.tombstone = decodeTombstone(content(fields))
    else throw malformedStatement()
  }
  const empty = new Uint8Array(0)
  const statement: Statement = {
    ...found,
    kind: found.kind ?? Kind.BATCH,
    instanceId: found.instanceId ?? '',
    bootId: found.bootId ?? empty,
    tenant: found.tenant ?? '',
    number: found.number ?? 0,
    timeNs: found.timeNs ?? 0n,
    previous: found.previous ?? empty,
    policyId: found.policyId ?? empty,
    keyId: found.keyId ?? '',
  }
  assertStatement(statement)
  if (Buffer.compare(encodeStatement(statement), bytes) !== 0) throw malformedStatement()
  return statement
}

function assertStatement(statement: Statement): void {
  const { kind, root, leafCount, previous, coverage } = statement
  const isBatch = kind === Kind.BATCH
  const isSound =
    kind >= Kind.BATCH &&
    kind <= Kind.TOMBSTONE &&
    statement.bootId.length === BOOT_ID_BYTES &&
    statement.policyId.length === HASH_BYTES &&
    (previous.length === HASH_BYTES || (previous.length === 0 && kind === Kind.BOOT)) &&
    (kind === Kind.BOOT) === (statement.number === 0) &&
    isBatch === (root !== undefined && root.length === HASH_BYTES) &&
    isBatch === (leafCount !== undefined && leafCount > 0) &&
    (coverage === undefined || (isBatch && !isDefaultCoverage(coverage))) &&
    (kind === Kind.TOMBSTONE) === (statement.tombstone !== undefined)
  if (!isSound) throw malformedStatement()
}

export function encodeCoverage(coverage: Coverage): Uint8Array {
  const out = new Writer()
  for (const key of coverage.resourceAttributes) out.string(1, key)
  for (const glob of coverage.mutable) out.string(2, glob)
  return out.finish()
}

/** Throws MALFORMED. */
export function decodeCoverage(bytes: Uint8Array): Coverage {
  const resourceAttributes: string[] = []
  const mutable: string[] = []
  const fields = new Fields(bytes)
  while (fields.next()) {
    if (fields.field === 1) resourceAttributes.push(text(fields))
    else if (fields.field === 2) mutable.push(text(fields))
    else throw malformedStatement()
  }
  return { resourceAttributes, mutable }
}

function encodeTombstone(tombstone: Tombstone): Uint8Array {
  const out = new Writer()
  putBytes(out, 1, tombstone.bootId)
  putUint(out, 2, tombstone.number)
  for (const range of tombstone.ranges) {
    const mark = out.open(3)
    putUint(out, 1, range.first)
    putUint(out, 2, range.count)
    out.close(mark)
  }
  putUint(out, 4, tombstone.reason)
  return out.finish()
}

function decodeTombstone(bytes: Uint8Array): Tombstone {
  let bootId: Uint8Array = new Uint8Array(0)
  let number = 0
  let reason = 0
  const ranges: LeafRange[] = []
  const fields = new Fields(bytes)
  while (fields.next()) {
    if (fields.field === 1) bootId = content(fields)
    else if (fields.field === 2) number = uint(fields)
    else if (fields.field === 3) ranges.push(decodeRange(content(fields)))
    else if (fields.field === 4) reason = uint(fields)
    else throw malformedStatement()
  }
  const isKnown = reason === Reason.NOT_STORED || reason === Reason.DEAD_LETTER || reason === Reason.DROPPED
  if (!isKnown || bootId.length !== BOOT_ID_BYTES) throw malformedStatement()
  return { bootId, number, ranges, reason: reason as Reason } // `isKnown` has checked it
}

function decodeRange(bytes: Uint8Array): LeafRange {
  let first = 0
  let count = 0
  const fields = new Fields(bytes)
  while (fields.next()) {
    if (fields.field === 1) first = uint(fields)
    else if (fields.field === 2) count = uint(fields)
    else throw malformedStatement()
  }
  return { first, count }
}

export function encodeSignedStatement(signed: SignedStatement): Uint8Array {
  const out = new Writer(signed.statement.length + signed.signature.length + 8)
  out.bytes(1, signed.statement)
  out.bytes(2, signed.signature)
  return out.finish()
}

/** Throws MALFORMED. The statement inside is not decoded. */
export function decodeSignedStatement(bytes: Uint8Array): SignedStatement {
  let statement: Uint8Array | undefined
  let signature: Uint8Array | undefined
  const fields = new Fields(bytes)
  while (fields.next()) {
    if (fields.field === 1) statement = content(fields)
    else if (fields.field === 2) signature = content(fields)
    else throw malformedStatement()
  }
  if (statement === undefined || signature === undefined) throw malformedStatement()
  return { statement, signature }
}

function putUint(out: Writer, field: number, value: number): void {
  if (value === 0) return
  out.tag(field, Wire.VARINT)
  out.varint(value)
}

function putString(out: Writer, field: number, value: string): void {
  if (value !== '') out.string(field, value)
}

function putBytes(out: Writer, field: number, value: Uint8Array): void {
  if (value.length > 0) out.bytes(field, value)
}

function uint(fields: Fields): number {
  fields.expect(Wire.VARINT)
  const value = Number(readUint64(fields.buf, fields.start, fields.end))
  if (!Number.isSafeInteger(value)) throw malformedStatement()
  return value
}

function fixed64(fields: Fields): bigint {
  fields.expect(Wire.FIXED64)
  return readFixed64(fields.buf, fields.start)
}

function content(fields: Fields): Uint8Array {
  fields.expect(Wire.LENGTH)
  return fields.buf.subarray(fields.start, fields.end)
}

function text(fields: Fields): string {
  try {
    return strictUtf8.decode(content(fields))
  } catch (cause) {
    throw new SidecarError('MALFORMED', 'statement is not canonical', { cause })
  }
}

function malformedStatement(): SidecarError {
  return new SidecarError('MALFORMED', 'statement is not canonical')
}
