// Opens sealed values for who may see them, and leaves a signed trace first (45 CFR 164.312(b)): the audit span goes the way
// of every span, so it is signed, durable and exported before the first value is answered.
import { randomBytes } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { asSidecarError } from '../base/errors.ts'
import { REQUEST_WAIT_MS_MAX } from '../base/limits.ts'
import { parseAnnouncement } from '../formats/announcement.ts'
import { parseToken } from '../formats/sealed-value.ts'
import { anyValueJson, type RevealSettings, revealToken } from '../keys/operations/reveal.ts'
import type { Accept } from '../pipeline/pipeline.ts'
import { jsonToProtobuf } from '../wire/json.ts'
import type { RevealControl, RevealedItem, RevealRequest, SealedItem } from './reveal.ts'

export interface AuditedRevealSettings extends RevealSettings {
  /** The pipeline's way in; resolves when the audit span is durable. */
  readonly accept: Accept
  readonly clock: Clock
  /** Whose evidence tells of values that name no tenant. */
  readonly defaultTenant: string
  readonly version: string
}

export function createAuditedReveal(parts: AuditedRevealSettings): RevealControl {
  return {
    reveal: async (request, abort) => {
      const startNs = parts.clock.nowNs()
      const items = await Promise.all(request.values.map((value) => openOne(parts, value, abort)))
      const byTenant = Map.groupBy(request.values.keys(), (index) =>
        tenantOf(request.values[index]!, parts.defaultTenant),
      )
      for (const [tenant, indexes] of byTenant) {
        const body = auditRequest(parts, request, indexes, items, startNs)
        const deadlineMs = parts.clock.monotonicMs() + REQUEST_WAIT_MS_MAX
        await parts.accept({ signal: 'traces', body, tenant, deadlineMs, abort })
      }
      return items
    },
  }
}

async function openOne(
  parts: AuditedRevealSettings,
  sealed: SealedItem,
  abort: AbortSignal,
): Promise<RevealedItem> {
  try {
    const { plaintext, dataClass } = await revealToken(parts, sealed, abort)
    const value = anyValueJson(plaintext)
    plaintext.fill(0)
    // It has opened, so the announcement reads.
    return {
      isOpen: true,
      tenant: parseAnnouncement(sealed.announcement)!.context.tenantId,
      dataClass,
      value,
    }
  } catch (thrown) {
    return { isOpen: false, error: asSidecarError(thrown) }
  }
}

function tenantOf({ announcement }: SealedItem, fallback: string): string {
  return parseAnnouncement(announcement)?.context.tenantId ?? fallback
}

function auditRequest(
  parts: AuditedRevealSettings,
  { reason, actor, values }: RevealRequest,
  indexes: readonly number[],
  items: readonly RevealedItem[],
  startNs: bigint,
): Uint8Array {
  const openCount = indexes.filter((index) => items[index]!.isOpen).length
  const classes = new Set(indexes.flatMap((index) => (items[index]!.isOpen ? [items[index].dataClass] : [])))
  const kids = new Set(indexes.map((index) => parseToken(values[index]!.token)?.kid ?? 'unreadable'))
  const attributes = [
    text('compliance.framework', 'hipaa'),
    text('compliance.control', '164.312(b)'),
    text('compliance.evidence_type', 'audit_trail'),
    text('compliance.outcome', openCount === indexes.length ? 'pass' : 'partial'),
    text('audit.action', 'reveal'),
    text('audit.reason', reason),
    ...(actor === undefined ? [] : [text('audit.actor', actor)]),
    count('audit.values_requested', indexes.length),
    count('audit.values_opened', openCount),
    list('audit.data_classes', [...classes]),
    list('audit.key_ids', [...kids]),
  ]
  const span = {
    traceId: randomBytes(16).toString('hex'),
    spanId: randomBytes(8).toString('hex'),
    name: 'reveal sealed values',
    kind: 1,
    startTimeUnixNano: String(startNs),
    endTimeUnixNano: String(parts.clock.nowNs()),
    attributes,
  }
  const resource = {
    attributes: [text('service.name', 'betrace-sidecar'), text('service.version', parts.version)],
  }
  const scope = { name: 'betrace.admin' }
  const request = { resourceSpans: [{ resource, scopeSpans: [{ scope, spans: [span] }] }] }
  return jsonToProtobuf(Buffer.from(JSON.stringify(request)), 'traces')
}

function text(key: string, stringValue: string): object {
  return { key, value: { stringValue } }
}

function count(key: string, value: number): object {
  return { key, value: { intValue: String(value) } }
}

function list(key: string, values: readonly string[]): object {
  return { key, value: { arrayValue: { values: values.map((stringValue) => ({ stringValue })) } } }
}
