// Which spans are signed and what a signature covers, compiled once from the options. The policy document is hashed
// into every statement, so a later reader knows the rule under which a span was, or was not, signed.
import { createHash } from 'node:crypto'
import { ANNOUNCEMENT_KEY_PREFIX } from '../formats/announcement.ts'
import { StarGlobs } from '../wire/attribute-glob.ts'
import { Writer } from '../wire/write.ts'
import type { CoverageRules } from './canonical.ts'
import { startsWith } from './span-parts.ts'
import { type Coverage, encodeCoverage } from './statement.ts'

export type Algorithm = 'ed25519-merkle-v1' | 'hmac-sha256'

export interface PolicyOptions {
  /** `compliance`: any attribute key that begins with `compliance.` or `betrace.`. A list: globs of attribute keys. */
  readonly select: 'compliance' | 'all' | readonly string[]
  readonly algorithm: Algorithm
  /** `ledger` leaves the audit path out of the span. */
  readonly proof: 'inline' | 'ledger'
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
  proof: 'inline',
  resourceAttributes: ['service.name', 'service.namespace', 'service.instance.id'],
  mutable: [],
  tenantAttribute: 'betrace.tenant',
}

const Selection = { COMPLIANCE: 1, ALL: 2, GLOBS: 3 } as const
const COMPLIANCE_PREFIX = Buffer.from('compliance.')
const BETRACE_PREFIX = Buffer.from('betrace.')
const ANNOUNCEMENT_PREFIX = Buffer.from(ANNOUNCEMENT_KEY_PREFIX)

export class Policy {
  readonly options: PolicyOptions
  readonly coverage: Coverage
  readonly rules: CoverageRules
  /** SHA-256 of the policy document. */
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
    this.document = encodePolicy(this.options, this.coverage)
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

  /** As `selects`, for a resource attribute: key announcements and the tenant's name are on every resource. */
  selectsResource(buf: Uint8Array, keyStart: number, keyEnd: number): boolean {
    if (startsWith(buf, keyStart, keyEnd, ANNOUNCEMENT_PREFIX)) return false
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

function encodePolicy(options: PolicyOptions, coverage: Coverage): Uint8Array {
  const { select, algorithm, proof } = options
  const out = new Writer()
  out.tag(1, 0)
  out.varint(
    select === 'compliance' ? Selection.COMPLIANCE : select === 'all' ? Selection.ALL : Selection.GLOBS,
  )
  if (typeof select !== 'string') for (const glob of select) out.string(2, glob)
  out.bytes(3, encodeCoverage(coverage))
  out.string(4, algorithm)
  if (proof === 'ledger') {
    out.tag(5, 0)
    out.varint(1)
  }
  return out.finish()
}
