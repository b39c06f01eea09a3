// Which spans are signed and what a signature covers, compiled once from the options. The policy document is hashed
// into every statement, so a later reader knows the rule under which a span was, or was not, signed.
import { createHash } from 'node:crypto'
import { SidecarError } from '../base/errors.ts'
import { ANNOUNCEMENT_KEY_PREFIX } from '../formats/announcement.ts'
import { STATEMENT_KEY_PREFIX } from '../formats/signature-keys.ts'
import { StarGlobs } from '../wire/attribute-glob.ts'
import { Fields, readUint64 } from '../wire/reader.ts'
import { Wire } from '../wire/schema.ts'
import { Writer } from '../wire/write.ts'
import type { CoverageRules } from './canonical.ts'
import { startsWith } from './span-parts.ts'
import {
  type Coverage,
  DEFAULT_COVERAGE,
  decodeCoverage,
  encodeCoverage,
  isDefaultCoverage,
} from './statement.ts'

const ALGORITHMS = ['ed25519-merkle-v1', 'hmac-sha256'] as const
export type Algorithm = (typeof ALGORITHMS)[number]

export interface PolicyOptions {
  /** `compliance`: any attribute key that begins with `compliance.` or `betrace.`. A list: globs of attribute keys. */
  readonly select: 'compliance' | 'all' | readonly string[]
  readonly algorithm: Algorithm
  /** `compact`: what spans share stands in their resource. `inline`: each span has everything. */
  readonly proof: 'compact' | 'inline'
  /** Covered resource attributes; the tenant attribute is always one of them. */
  readonly resourceAttributes: readonly string[]
  /** StarGlobs of span attribute keys that the signature leaves out. */
  readonly mutable: readonly string[]
  /** Names the tenant; covered, and never a reason to select a span. */
  readonly tenantAttribute: string
}

export const DEFAULT_POLICY: PolicyOptions = {
  select: 'compliance',
  algorithm: 'ed25519-merkle-v1',
  proof: 'compact',
  resourceAttributes: ['service.name', 'service.namespace', 'service.instance.id'],
  mutable: [],
  tenantAttribute: 'betrace.tenant',
}

const Selection = { COMPLIANCE: 1, ALL: 2, GLOBS: 3 } as const
const COMPLIANCE_PREFIX = Buffer.from('compliance.')
const BETRACE_PREFIX = Buffer.from('betrace.')
/** On every resource that a sidecar has seen. */
const OUR_PREFIXES = [ANNOUNCEMENT_KEY_PREFIX, STATEMENT_KEY_PREFIX].map((prefix) => Buffer.from(prefix))

export class Policy {
  readonly options: PolicyOptions
  readonly coverage: Coverage
  readonly rules: CoverageRules
  /** SHA-256 of `document`. */
  readonly id: Uint8Array
  readonly document: Uint8Array
  readonly selectsAll: boolean
  readonly #globs: StarGlobs | undefined
  readonly #tenantKey: Uint8Array

  constructor(options: Partial<PolicyOptions> = {}) {
    this.options = { ...DEFAULT_POLICY, ...options }
    const { select, resourceAttributes, tenantAttribute, mutable } = this.options
    const covered = new Set([...resourceAttributes, ...(tenantAttribute === '' ? [] : [tenantAttribute])])
    this.coverage = { resourceAttributes: [...covered], mutable }
    this.rules = compileCoverage(this.coverage)
    this.document = encodePolicy({ ...this.options, coverage: this.coverage })
    this.id = createHash('sha256').update(this.document).digest()
    this.selectsAll = select === 'all'
    this.#globs = typeof select === 'string' ? undefined : new StarGlobs(select)
    this.#tenantKey = Buffer.from(tenantAttribute)
  }

  /** Whether an attribute with this key, of a span, event, link or scope, makes its span one to sign. */
  selects(buf: Uint8Array, keyStart: number, keyEnd: number): boolean {
    if (this.#globs !== undefined) return this.#globs.match(buf, keyStart, keyEnd)
    return (
      startsWith(buf, keyStart, keyEnd, COMPLIANCE_PREFIX) ||
      startsWith(buf, keyStart, keyEnd, BETRACE_PREFIX)
    )
  }

  /** As `selects`, for a resource attribute: announcements, statements and the tenant's name are on every resource. */
  selectsResource(buf: Uint8Array, keyStart: number, keyEnd: number): boolean {
    for (const prefix of OUR_PREFIXES) if (startsWith(buf, keyStart, keyEnd, prefix)) return false
    const isTenant =
      keyEnd - keyStart === this.#tenantKey.length && startsWith(buf, keyStart, keyEnd, this.#tenantKey)
    return !isTenant && this.selects(buf, keyStart, keyEnd)
  }
}

export function compileCoverage(coverage: Coverage): CoverageRules {
  return {
    resourceAttributes: coverage.resourceAttributes.map((key) => Buffer.from(key)),
    mutable: new StarGlobs(coverage.mutable),
  }
}

/** What a policy document says. */
export interface PolicyDocument extends Pick<PolicyOptions, 'select' | 'algorithm'> {
  readonly coverage: Coverage
}

function encodePolicy({ select, algorithm, coverage }: PolicyDocument): Uint8Array {
  const out = new Writer()
  out.tag(1, 0)
  out.varint(
    select === 'compliance' ? Selection.COMPLIANCE : select === 'all' ? Selection.ALL : Selection.GLOBS,
  )
  if (typeof select !== 'string') for (const glob of select) out.string(2, glob)
  if (!isDefaultCoverage(coverage)) out.bytes(3, encodeCoverage(coverage))
  out.string(4, algorithm)
  return out.finish()
}

/** Throws MALFORMED for anything but a policy's canonical form. */
export function decodePolicy(bytes: Uint8Array): PolicyDocument {
  const globs: string[] = []
  let selection = 0
  let coverage = DEFAULT_COVERAGE
  let algorithm = ''
  for (const field = new Fields(bytes); field.next(); ) {
    if (field.wireType === Wire.VARINT && field.field === 1)
      selection = Number(readUint64(bytes, field.start, field.end))
    else if (field.wireType !== Wire.LENGTH) throw malformedPolicy()
    else if (field.field === 2) globs.push(utf8(bytes, field.start, field.end))
    else if (field.field === 3) coverage = decodeCoverage(bytes.subarray(field.start, field.end))
    else if (field.field === 4) algorithm = utf8(bytes, field.start, field.end)
    else throw malformedPolicy()
  }
  const select = selectOf(selection, globs)
  const known = ALGORITHMS.find((name) => name === algorithm)
  if (select === undefined || known === undefined) throw malformedPolicy()
  const document = { select, algorithm: known, coverage }
  if (Buffer.compare(encodePolicy(document), bytes) !== 0) throw malformedPolicy()
  return document
}

function selectOf(selection: number, globs: readonly string[]): PolicyOptions['select'] | undefined {
  if (selection === Selection.GLOBS) return globs
  if (globs.length > 0) return undefined
  return selection === Selection.COMPLIANCE ? 'compliance' : selection === Selection.ALL ? 'all' : undefined
}

function utf8(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
}

function malformedPolicy(): SidecarError {
  return new SidecarError('MALFORMED', 'policy is not canonical')
}
