import type { FastifyInstance } from 'fastify'
import { SidecarError } from '../base/errors.ts'
import { ANNOUNCEMENT_BYTES_MAX } from '../formats/announcement.ts'
import { idsOf } from '../formats/sealed-value.ts'
import { namedPlace } from '../formats/value-place.ts'
import { type AdminToken, requireBearer } from './bearer.ts'

export interface SealedItem {
  readonly token: string
  /** What value-place.ts makes. */
  readonly place: string
  /** The text of the `betrace.key.*` attribute that announces its key. */
  readonly announcement: string
  /** Of the span or log record that it stood in. */
  readonly ids: Uint8Array | undefined
}

export interface RevealRequest {
  /** Why; goes into the audit span. */
  readonly reason: string
  /** Who, as far as the caller says; goes into the audit span. */
  readonly actor: string | undefined
  readonly values: readonly SealedItem[]
}

export type RevealedItem =
  | { readonly isOpen: true; readonly tenant: string; readonly dataClass: string; readonly value: object }
  | { readonly isOpen: false; readonly error: SidecarError }

export interface RevealControl {
  /** In the order of the request. Resolves only when the audit span is durable; rejects, opening nothing, when it is not. */
  readonly reveal: (request: RevealRequest, abort: AbortSignal) => Promise<readonly RevealedItem[]>
}

export const REVEAL_VALUES_MAX = 100
const REASON_CHARS_MAX = 500
const TEXT_CHARS_MAX = 1024 * 1024
/** As deep as messages nest. */
const KEYS_MAX = 128

/** `POST /api/admin/reveal`, for the bearer of the reveal token. The admin token does not open it. */
export function addReveal(app: FastifyInstance, token: AdminToken, control: RevealControl | undefined): void {
  app.register(async (scope) => {
    scope.addHook('onRequest', requireBearer(token))
    scope.post('/api/admin/reveal', async (request) => {
      if (control === undefined) throw new NotSetUp()
      const abort = new AbortController()
      request.raw.once('close', () => {
        if (request.raw.readableAborted) abort.abort()
      })
      const items = await control.reveal(readRequest(request.body), abort.signal)
      return { values: items.map(itemAnswer) }
    })
  })
}

/** Has a status and no data; the server answers it as 501. */
class NotSetUp extends Error {
  readonly statusCode = 501
}

function itemAnswer(item: RevealedItem): object {
  if (item.isOpen) return { tenantId: item.tenant, dataClass: item.dataClass, value: item.value }
  const { code, message } = item.error
  return { error: { code, message: code === 'INTERNAL' ? 'internal error' : message } }
}

function readRequest(body: unknown): RevealRequest {
  const { reason, actor, values } = fieldsOf(body)
  if (!isText(reason, REASON_CHARS_MAX) || reason.trim() === '') throw malformed('a reason is needed')
  if (actor !== undefined && !isText(actor, REASON_CHARS_MAX)) throw malformed('actor must be text')
  if (!Array.isArray(values) || values.length === 0 || values.length > REVEAL_VALUES_MAX) {
    throw malformed('values must be a list of 1 to 100 sealed values')
  }
  return { reason, actor, values: values.map(readItem) }
}

function readItem(item: unknown): SealedItem {
  const { token, attributeKey, place: name, announcement, traceId, spanId } = fieldsOf(item)
  const place = readPlaceOf(name, attributeKey)
  if (!isText(token, TEXT_CHARS_MAX) || place === undefined) {
    throw malformed('a sealed value has a token and an attributeKey, or a place')
  }
  if (!isText(announcement, ANNOUNCEMENT_BYTES_MAX)) throw malformed('a sealed value has an announcement')
  const [trace, span] = [readId('traceId', traceId, 16), readId('spanId', spanId, 8)]
  const ids = trace === undefined && span === undefined ? undefined : idsOf(trace, span)
  return { token, place, announcement, ids }
}

/** `attributeKey`: one key, or for a value in a map the keys from the outermost inwards. */
function readPlaceOf(name: unknown, attributeKey: unknown): string | undefined {
  const path = attributeKey === undefined ? [] : Array.isArray(attributeKey) ? attributeKey : [attributeKey]
  if (path.length > KEYS_MAX || !path.every((key): key is string => isText(key, TEXT_CHARS_MAX)))
    return undefined
  if (name === undefined || typeof name === 'string') return namedPlace(name, path)
  return undefined
}

function readId(name: string, id: unknown, bytes: number): Uint8Array | undefined {
  if (id === undefined) return undefined
  if (typeof id === 'string' && id.length === 2 * bytes && /^[0-9a-fA-F]+$/.test(id))
    return Buffer.from(id, 'hex')
  throw malformed(`a ${name} is ${2 * bytes} hexadecimal digits`)
}

function fieldsOf(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed('a body of {"reason", "values"} is needed')
  }
  return value as Record<string, unknown> // an object that JSON made
}

function isText(value: unknown, charsMax: number): value is string {
  return typeof value === 'string' && value.length <= charsMax && value.isWellFormed()
}

function malformed(message: string): SidecarError {
  return new SidecarError('MALFORMED', message)
}
