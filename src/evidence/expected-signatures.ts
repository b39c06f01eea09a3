// Which unsigned spans should have been signed (proto/evidence.md §6, "Stripped"): by the policy of a statement in the span's
// own resource, else by the last one seen of its tenant, else by what a reader says.
import { Policy, type PolicyDocument, type PolicyOptions } from './policy.ts'
import { Selection } from './selection.ts'
import type { SpanContext } from './span-walk.ts'

type Select = PolicyOptions['select']

/** `policy`: as the signed policies say, and `compliance` where there is none. */
export type Expected = Select | 'policy'

/** Different policies, and tenants without one yet, that are remembered at once. */
const POLICIES_MAX = 256
const TENANTS_MAX = 10_000

/** One selection with what it knows of the resource and scope that the walk is in. */
class Judge {
  readonly #selection: Selection
  #group = -1
  #scope = -1

  constructor(select: Select) {
    this.#selection = new Selection(new Policy({ select }))
  }

  /** `look` hears how many bytes of resource and scope are read. */
  selects(span: SpanContext, look: (bytes: number) => void): boolean {
    if (span.groupNumber !== this.#group) {
      this.#group = span.groupNumber
      this.#scope = -1
      look(span.resourceEnd - span.resourceStart)
      this.#selection.resource(span)
    }
    if (span.scopeStart !== this.#scope) {
      this.#scope = span.scopeStart
      look(span.scopeEnd - span.scopeStart)
      this.#selection.scope(span)
    }
    return this.#selection.selects(span)
  }
}

export class ExpectedSignatures {
  readonly #expected: Expected | undefined
  readonly #look: (bytes: number) => void
  readonly #judges = new Map<string, Judge>()
  /** By tenant, what its last good statement says. */
  readonly #policies = new Map<string, Select>()
  /** By tenant, spans that nothing was known of when they came. */
  readonly #before = new Map<string, number>()

  constructor(expected: Expected | undefined, look: (bytes: number) => void) {
    this.#expected = expected
    this.#look = look
  }

  /** A span of this tenant was good under this policy. */
  learn(tenant: string, { select }: PolicyDocument): void {
    if (this.#expected === 'policy') this.#policies.set(tenant, select)
  }

  /** Whether an unsigned span should be signed. `known` finds what its resource says. */
  isExpected(
    span: SpanContext,
    known: () => { readonly policy: PolicyDocument | undefined; readonly tenant: string },
  ): boolean {
    if (this.#expected === undefined) return false
    if (this.#expected !== 'policy') return this.#judge(this.#expected).selects(span, this.#look)
    const { policy, tenant } = known()
    const select = policy?.select ?? this.#policies.get(tenant)
    if (select !== undefined) return this.#judge(select).selects(span, this.#look)
    const isCompliance = this.#judge('compliance').selects(span, this.#look)
    if (!isCompliance && (this.#before.has(tenant) || this.#before.size < TENANTS_MAX))
      this.#before.set(tenant, (this.#before.get(tenant) ?? 0) + 1)
    return isCompliance
  }

  /** Of the spans that came before anything was known of their tenant: those that should be signed, and those that nobody can say. */
  get late(): { readonly missing: number; readonly open: number } {
    let [missing, open] = [0, 0]
    for (const [tenant, count] of this.#before) {
      const select = this.#policies.get(tenant)
      if (select === 'all') missing += count
      else if (select !== undefined && select !== 'compliance') open += count
    }
    return { missing, open }
  }

  #judge(select: Select): Judge {
    const id = JSON.stringify(select)
    let judge = this.#judges.get(id)
    if (judge === undefined) {
      if (this.#judges.size >= POLICIES_MAX) this.#judges.clear()
      judge = new Judge(select)
      this.#judges.set(id, judge)
    }
    return judge
  }
}
