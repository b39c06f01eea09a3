// One Export request, top to bottom. The awaits are only where a request truly waits: for a key that is not at hand,
// for room in the queue, and for its bytes to be durable. What stands between two awaits is synchronous, so the order
// of statements in a stream is the order in which they reach the store.
//
// Where a request is large, what reads it is done in slices, and others have their turn in between; but what is signed
// and stored in one order is done in one go, large or not.
//
//   body ─ tenants ─ announcements ⟂ known? ─ redact ⟂ key? ─ room? ⟂ ─ sign ⟂ key? ─ deliver ⟂ ─ OK
import type { Clock } from '../base/clock.ts'
import { asSidecarError, SidecarError } from '../base/errors.ts'
import { ITEMS_PER_REQUEST_MAX } from '../base/limits.ts'
import { type Slices, turns } from '../base/turns.ts'
import type { StatementRecord } from '../evidence/chain.ts'
import type { FoundSpans, SigningKey } from '../evidence/evidence.ts'
import type { TenantKeys } from '../redaction/tenant-keys.ts'
import { Faults } from '../wire/faults.ts'
import type { Signal } from '../wire/otlp.ts'
import type { ItemAccounts, OpenAccount } from './accounts.ts'
import type { Confirmation, Delivery } from './delivery.ts'
import type { FaultReport } from './fault-report.ts'
import type { PipelineMetrics } from './metrics.ts'
import type { KeyResolver, RequestKeys } from './request-keys.ts'
import type { TenantResolver } from './tenant.ts'

/** One Export call, as a receiver hands it on. */
export interface ExportRequest {
  readonly signal: Signal
  /** Encoded Export…ServiceRequest, decompressed. The pipeline's from here on; the receiver keeps no reference. */
  readonly body: Uint8Array
  /** What the receiver has left out already, where it had to read the items itself. */
  readonly faults?: Faults
  /** The sender's address, for a log line about what was not taken of it. */
  readonly peer?: string
  /** What the transport says of the tenant (header, metadata, certificate); `undefined` when it says nothing. */
  readonly tenant: string | undefined
  /** The client's deadline on `clock.monotonicMs()`, capped by the wait limit. */
  readonly deadlineMs: number
  /** Aborts when the client goes away. */
  readonly abort: AbortSignal
}

/** OK, with what OTLP's partial_success says: zero and empty leave it unset. */
export interface ExportAccepted {
  /** Spans, log records or data points that were accepted. */
  readonly itemCount: number
  readonly rejectedItems: number
  readonly message: string
}

/** Resolves only when OK may be said; rejects with a SidecarError otherwise. */
export type Accept = (request: ExportRequest) => Promise<ExportAccepted>

/** A request after redaction. `missing` not empty: the body must not be used; load those keys and ask again. */
export interface Redacted {
  readonly body: Uint8Array
  readonly itemCount: number
  /** What is left out of the body, or mended in it. */
  readonly faults?: Faults
  readonly missing: readonly { readonly tenant: string; readonly key: 'encryption' | 'pseudonym' }[]
}

/** A request with its evidence. `missing`: tenants whose signing key is needed first; no state has moved then. */
export interface Signed {
  readonly body: Uint8Array
  readonly statements: readonly StatementRecord[]
  readonly refs: Uint8Array
  readonly missing: readonly string[]
}

/** Whose the items of a request are. */
export interface RequestTenants {
  /** The tenant of each resource group, in order. */
  readonly groups: readonly string[]
  /** Each tenant once. */
  readonly different: readonly string[]
}

export interface PipelineParts {
  readonly clock: Clock
  readonly desk: KeyResolver
  readonly delivery: Delivery
  readonly accounts: ItemAccounts
  readonly metrics: PipelineMetrics
  readonly faultReport: FaultReport
  /** Looks at what a request brings along from other sidecars; a promise only when the key service has to be asked. */
  readonly prepare: (request: ExportRequest, wait: RequestKeys) => Promise<void> | void
  /** Throws TENANT_DENIED, MALFORMED, and TOO_LARGE for more tenants than a request may have. */
  readonly tenantsOf: (request: ExportRequest) => RequestTenants
  /** Places for tenants, taken when a request has turned out to be valid. */
  readonly places: Pick<TenantResolver, 'enter' | 'leave' | 'mayLoad'>
  /** Spans, log records or data points. Throws MALFORMED, and TOO_LARGE for more of anything else than a request may have. */
  readonly countItems: (signal: Signal, body: Uint8Array) => Slices<number>
  readonly redact: (signal: Signal, body: Uint8Array, keys: readonly TenantKeys[]) => Redacted
  /** As `redact`, for a large body. */
  readonly redactInSlices: (signal: Signal, body: Uint8Array, keys: readonly TenantKeys[]) => Slices<Redacted>
  /** What `sign` would look for in a large body; `undefined` where nothing is signed. */
  readonly findSpans: (
    signal: Signal,
    body: Uint8Array,
    tenants: readonly string[],
  ) => Slices<FoundSpans | undefined>
  readonly sign: (
    signal: Signal,
    body: Uint8Array,
    tenants: readonly string[],
    keys: ReadonlyMap<string, SigningKey>,
    found: FoundSpans | undefined,
  ) => Signed
}

/** A larger body is counted before it is redacted: a scan, some 2 % of the work. SDKs' and most Collectors' are smaller. */
const COUNTED_BYTES_MIN = 4 * 1024 * 1024
/** A larger body is worked on in slices. A smaller one takes a tenth of a second at the very worst. */
const ONE_GO_BYTES_MAX = 128 * 1024
const FULL_SUCCESS = { rejectedItems: 0, message: '' } as const

type OnItems = (outcome: 'accepted' | 'refused', signal: Signal, itemCount: number) => void

export class Pipeline {
  readonly #parts: PipelineParts
  #underWayCount = 0

  constructor(parts: PipelineParts) {
    this.#parts = parts
  }

  /** Requests between their arrival and their answer. */
  get underWayCount(): number {
    return this.#underWayCount
  }

  /** The way in for one transport; `onItems` hears how many items were accepted or refused, once that is known. */
  acceptFrom(onItems: OnItems): Accept {
    return (request) => this.#accept(request, onItems)
  }

  async #accept(request: ExportRequest, onItems: OnItems): Promise<ExportAccepted> {
    if (request.body.length === 0 && request.faults === undefined) return { itemCount: 0, ...FULL_SUCCESS }
    const { accounts, clock, desk, metrics, places, tenantsOf } = this.#parts
    const { signal } = request
    const startedMs = clock.monotonicMs()
    const entry = accounts.open(signal)
    let entered: readonly string[] = []
    let isAccepted = false
    this.#underWayCount++
    try {
      await this.#boundItems(request, entry)
      const { groups, different } = tenantsOf(request)
      const wait = desk.open(request)
      const preparing = this.#parts.prepare(request, wait)
      if (preparing) await preparing
      let redacted = await this.#redact(request, groups, wait)
      const { itemCount } = redacted
      // From here on the items are known, also when the request is refused for want of a key.
      const faults = allFaults(request, redacted)
      const itemsRead = itemCount + (faults?.rejectedItems ?? 0)
      entry.accepted(itemsRead)
      if (itemsRead > ITEMS_PER_REQUEST_MAX) throw tooManyItems()
      if (itemCount > 0) {
        // All of it was read by now: what is refused as malformed has cost nobody a place, and the key service no call.
        places.enter(different)
        entered = different
      }
      while (redacted.missing.length > 0) {
        places.mayLoad(redacted.missing.map(({ tenant }) => tenant))
        await wait.load(redacted.missing)
        redacted = await this.#redact(request, groups, wait)
      }
      const confirmation = itemCount > 0 ? await this.#signAndDeliver(request, groups, redacted) : undefined
      isAccepted = true
      entry.delivered(faults?.rejected)
      if (confirmation) await confirmation()
      onItems('accepted', signal, itemCount)
      return { itemCount, ...this.#partialSuccess(request, faults, onItems) }
    } catch (thrown) {
      const error = asSidecarError(thrown)
      onItems('refused', signal, entry.rejected(error.code))
      throw error
    } finally {
      places.leave(entered, isAccepted)
      this.#underWayCount--
      metrics.observe('request', clock.monotonicMs() - startedMs)
    }
  }

  #partialSuccess(
    request: ExportRequest,
    faults: Faults | undefined,
    onItems: OnItems,
  ): Pick<ExportAccepted, 'rejectedItems' | 'message'> {
    if (faults === undefined) return FULL_SUCCESS
    const { rejectedItems, message } = faults
    if (rejectedItems > 0) onItems('refused', request.signal, rejectedItems)
    this.#parts.faultReport.add(request, faults)
    return { rejectedItems, message }
  }

  /** Before anything is made of a large request. A count is a scan, so the usual ones are counted on the way. */
  async #boundItems({ signal, body }: ExportRequest, entry: OpenAccount): Promise<void> {
    if (body.length <= COUNTED_BYTES_MIN) return
    const itemCount = await turns.run(this.#parts.countItems(signal, body))
    if (itemCount <= ITEMS_PER_REQUEST_MAX) return
    entry.accepted(itemCount)
    throw tooManyItems()
  }

  /** With the keys that are at hand now; they are looked up again after every wait. */
  async #redact(request: ExportRequest, tenants: readonly string[], wait: RequestKeys): Promise<Redacted> {
    const { clock, metrics } = this.#parts
    const startedMs = clock.monotonicMs()
    const redacted = await this.#redactOnce(request, wait.tenantKeys(tenants))
    metrics.observe('redact', clock.monotonicMs() - startedMs)
    return redacted
  }

  async #redactOnce({ signal, body }: ExportRequest, keys: readonly TenantKeys[]): Promise<Redacted> {
    const { redact, redactInSlices } = this.#parts
    if (body.length > ONE_GO_BYTES_MAX) return turns.run(redactInSlices(signal, body, keys))
    const turn = turns.next()
    if (turn) await turn
    return redact(signal, body, keys)
  }

  async #findSpans(
    signal: Signal,
    body: Uint8Array,
    tenants: readonly string[],
  ): Promise<FoundSpans | undefined> {
    if (body.length > ONE_GO_BYTES_MAX) return turns.run(this.#parts.findSpans(signal, body, tenants))
    const turn = turns.next()
    if (turn) await turn
    return undefined
  }

  async #signAndDeliver(
    request: ExportRequest,
    tenants: readonly string[],
    redacted: Redacted,
  ): Promise<Confirmation | undefined> {
    const { desk, sign, delivery, clock, metrics, places } = this.#parts
    const wait = desk.open(request)
    const findStartedMs = clock.monotonicMs()
    const found = await this.#findSpans(request.signal, redacted.body, tenants)
    const findMs = clock.monotonicMs() - findStartedMs
    for (;;) {
      await delivery.room(redacted.body.length, request)
      const startedMs = clock.monotonicMs() - findMs
      const signed = sign(request.signal, redacted.body, tenants, wait.signingKeys(tenants), found)
      if (signed.missing.length > 0) {
        places.mayLoad(signed.missing)
        await wait.loadSigning(signed.missing)
        continue
      }
      metrics.observe('sign', clock.monotonicMs() - startedMs)
      const { signal } = request
      const { itemCount } = redacted
      const confirmation = await delivery.deliver(
        { signal, itemCount, acceptedAtMs: clock.nowMs(), body: signed.body, refs: signed.refs },
        signed.statements,
      )
      metrics.observe('deliver', clock.monotonicMs() - startedMs)
      return confirmation
    }
  }
}

/** What the receiver and the rules found; `undefined` when that is nothing. */
function allFaults(request: ExportRequest, redacted: Redacted): Faults | undefined {
  const faults = new Faults()
  if (request.faults !== undefined) faults.add(request.faults)
  if (redacted.faults !== undefined) faults.add(redacted.faults)
  return faults.isEmpty ? undefined : faults
}

const tooManyItems = (): SidecarError =>
  new SidecarError(
    'TOO_LARGE',
    `more than ${ITEMS_PER_REQUEST_MAX} spans, log records or data points in one request`,
  )
