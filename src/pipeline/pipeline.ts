// One Export request, top to bottom. The awaits are only where a request truly waits: for a key that is not at hand,
// for room in the queue, and for its bytes to be durable. What stands between two awaits is synchronous, so the order
// of statements in a stream is the order in which they reach the store.
//
// Where a request is large, all of it is done in slices, and others have their turn in between; while it is signed, what
// else would sign waits, and stores in the order of the statements.
//
//   body ─ tenants ─ announcements ⟂ known? ─ redact ⟂ key? ─ room? ⟂ ─ sign ⟂ key? ─ deliver ⟂ ─ OK
import type { Clock } from '../base/clock.ts'
import { asSidecarError, SidecarError } from '../base/errors.ts'
import { ITEMS_PER_REQUEST_MAX, ONE_GO_BYTES_MAX } from '../base/limits.ts'
import { turns } from '../base/turns.ts'
import type { Evidence, FoundSpans, Signed, SigningKey } from '../evidence/evidence.ts'
import { encodeRefs } from '../evidence/refs.ts'
import type { AnnouncementTrust } from '../keys/trust/announcement-trust.ts'
import { type RedactResult, redact, redactInSlices } from '../redaction/redact.ts'
import type { TenantKeys } from '../redaction/tenant-keys.ts'
import { Faults } from '../wire/faults.ts'
import { countItemsInSlices, countSoundItems, countSoundItemsInSlices } from '../wire/item-count.ts'
import type { Signal } from '../wire/otlp.ts'
import type { ItemAccounts, OpenAccount } from './accounts.ts'
import type { Confirmation, Delivery } from './delivery.ts'
import type { FaultReport } from './fault-report.ts'
import type { PipelineMetrics } from './metrics.ts'
import { type Processors, statementKeys } from './processors.ts'
import type { KeyResolver, RequestKeys } from './request-keys.ts'
import { requestTenants } from './request-tenants.ts'
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
type Redacted = Pick<RedactResult, 'body' | 'itemCount' | 'missing' | 'faults'>

export interface PipelineSettings {
  readonly clock: Clock
  readonly processors: Processors
  readonly keys: KeyResolver
  /** What a request brings along from other sidecars is judged before it is redacted. */
  readonly announcements: Pick<AnnouncementTrust, 'checkAnnouncements'>
  readonly tenants: TenantResolver
  readonly delivery: Delivery
  readonly accounts: ItemAccounts
  readonly metrics: PipelineMetrics
  readonly faultReport: FaultReport
}

/** A larger body is counted before it is redacted: a scan, some 2 % of the work. SDKs' and most Collectors' are smaller. */
const COUNTED_BYTES_MIN = 4 * 1024 * 1024
const FULL_SUCCESS = { rejectedItems: 0, message: '' } as const

type OnItems = (outcome: 'accepted' | 'refused', signal: Signal, itemCount: number) => void

export class Pipeline {
  readonly #parts: PipelineSettings
  #underWayCount = 0

  constructor(parts: PipelineSettings) {
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
    const { accounts, announcements, clock, keys, metrics, tenants } = this.#parts
    const { signal } = request
    const startedMs = clock.monotonicMs()
    const entry = accounts.open(signal)
    let entered: readonly string[] = []
    let isAccepted = false
    this.#underWayCount++
    try {
      await this.#boundItems(request, entry)
      const { groups, different } = requestTenants(tenants, request.body, request.tenant)
      const wait = keys.open(request)
      const checking = announcements.checkAnnouncements(signal, request.body, wait)
      if (checking) await checking
      let redacted = await this.#redact(request, groups, wait)
      const { itemCount } = redacted
      // From here on the items are known, also when the request is refused for want of a key.
      const faults = allFaults(request, redacted)
      const itemsRead = itemCount + (faults?.rejectedItems ?? 0)
      entry.accepted(itemsRead)
      if (itemsRead > ITEMS_PER_REQUEST_MAX) throw tooManyItems()
      if (itemCount > 0) {
        // All of it was read by now: what is refused as malformed has cost nobody a place, and the key service no call.
        tenants.enter(different)
        entered = different
      }
      while (redacted.missing.length > 0) {
        tenants.mayLoad(redacted.missing.map(({ tenant }) => tenant))
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
      tenants.leave(entered, isAccepted)
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
    const itemCount = await turns.run(countItemsInSlices(signal, body))
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
    const { ruleSets, redactionMetrics } = this.#parts.processors
    const rules = ruleSets.get(signal)
    const isLarge = body.length > ONE_GO_BYTES_MAX
    if (rules === undefined) {
      const counted = isLarge
        ? await turns.run(countSoundItemsInSlices(signal, body))
        : countSoundItems(signal, body)
      return { ...counted, missing: [] }
    }
    const result = isLarge
      ? await turns.run(redactInSlices(body, signal, rules, keys))
      : redact(body, signal, rules, keys)
    if (result.missing.length === 0) redactionMetrics.observe(result)
    return result
  }

  /** What `sign` would look for in a large body. */
  async #findSpans(
    evidence: Evidence,
    body: Uint8Array,
    tenants: readonly string[],
  ): Promise<FoundSpans | undefined> {
    if (body.length > ONE_GO_BYTES_MAX) return turns.run(evidence.find(body, tenants))
    return undefined
  }

  async #signAndDeliver(
    request: ExportRequest,
    groups: readonly string[],
    { body, itemCount }: Redacted,
  ): Promise<Confirmation | undefined> {
    const { keys, delivery, clock, metrics, processors, tenants } = this.#parts
    const { signal } = request
    const evidence = signal === 'traces' ? processors.evidence : undefined
    const wait = keys.open(request)
    const findStartedMs = clock.monotonicMs()
    const found = evidence && (await this.#findSpans(evidence, body, groups))
    const findMs = clock.monotonicMs() - findStartedMs
    for (;;) {
      await delivery.room(body.length, request)
      const startedMs = clock.monotonicMs() - findMs
      // Who signs a large request holds the order of statements; who had to wait for that asks for room again.
      const isHeld = evidence?.order.busy
      if (isHeld) {
        await isHeld
        continue
      }
      const signingKeys = (): ReadonlyMap<string, SigningKey> =>
        statementKeys(processors, wait.signingKeys(groups))
      const deliver = (signed: Deliverable): Delivering => {
        if (signed.missing.length > 0) return { missing: signed.missing }
        metrics.observe('sign', clock.monotonicMs() - startedMs)
        const refs = encodeRefs(signed.refs)
        const entry = { signal, itemCount, acceptedAtMs: clock.nowMs(), body: signed.body, refs }
        return { missing: [], confirmation: delivery.deliver(entry, signed.statements) }
      }
      // Nothing is awaited between signing and delivery.
      const { missing, confirmation } = !evidence
        ? deliver({ ...UNSIGNED, body })
        : found
          ? await this.#signInSlices(evidence, found, body, signingKeys, deliver)
          : deliver(evidence.sign(body, groups, signingKeys(), clock.nowNs()))
      if (missing.length > 0) {
        tenants.mayLoad(missing)
        await wait.loadSigning(missing)
        continue
      }
      const confirmed = await confirmation
      metrics.observe('deliver', clock.monotonicMs() - startedMs)
      return confirmed
    }
  }

  async #signInSlices(
    evidence: Evidence,
    found: FoundSpans,
    body: Uint8Array,
    signingKeys: () => ReadonlyMap<string, SigningKey>,
    deliver: (signed: Deliverable) => Delivering,
  ): Promise<Delivering> {
    const release = await evidence.order.hold()
    try {
      const nowNs = this.#parts.clock.nowNs()
      return deliver(await turns.run(evidence.signFound(found, body, signingKeys(), nowNs)))
    } finally {
      release()
    }
  }
}

type Deliverable = Pick<Signed, 'body' | 'statements' | 'refs' | 'missing'>

/** Given to the delivery, unless keys are missing. */
interface Delivering {
  readonly missing: readonly string[]
  readonly confirmation?: Promise<Confirmation | undefined>
}

/** Where nothing is signed. */
const UNSIGNED: Pick<Signed, 'statements' | 'refs' | 'missing'> = { statements: [], refs: [], missing: [] }

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
