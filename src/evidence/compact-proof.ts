// The two halves of a compact proof (proto/evidence.md §5): what the span carries, and what its resource carries once for
// all of them. Readers accept the canonical form only.
import { createHash } from 'node:crypto'
import { fromBase64url, malformedProof, PATH_NODES_MAX, parseNodes, toBase64url } from './proof.ts'

const STATEMENT_ID_BYTES = 16
/** Nodes in a row, at most: what a sampled trace takes along stays under two kilobytes. */
export const ROW_NODES_MAX = 32
const SIGNATURE_BYTES = 64

/** What `span.signature` says. */
export interface SpanReference {
  readonly statementId: string
  readonly index: number
  /** From the leaf upwards; its length is for the verifier to judge. */
  readonly path: readonly Uint8Array[]
}

/** What `betrace.statement.<id>` says. Nothing of it is verified. */
export interface ResourceStatement {
  readonly statement: Uint8Array
  readonly signature: Uint8Array
  readonly policy: Uint8Array
  /** Empty: there is none, and paths lead to the root. */
  readonly row: readonly Uint8Array[]
}

/** The name of a statement, 22 characters. */
export function statementId(statement: Uint8Array): string {
  return createHash('sha256').update(statement).digest().subarray(0, STATEMENT_ID_BYTES).toString('base64url')
}

const REFERENCE = /^v1\.([A-Za-z0-9_-]{22})\.(0|[1-9][0-9]{0,14})(?:\.([A-Za-z0-9_-]+))?$/
const STATEMENT = /^v1\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_-]+))?$/

/** Whether a `span.signature` is of the compact form; the other one is base64url alone. */
export function isReference(text: string): boolean {
  return text.startsWith('v1.')
}

/** Throws MALFORMED for anything but the canonical form. */
export function parseReference(text: string): SpanReference {
  const match = REFERENCE.exec(text)
  if (match === null) throw malformedProof()
  const [, id = '', index, path = ''] = match
  if (fromBase64url(id).length !== STATEMENT_ID_BYTES) throw malformedProof()
  return { statementId: id, index: Number(index), path: parseNodes(path, PATH_NODES_MAX) }
}

/** Throws MALFORMED for anything but the canonical form. */
export function parseResourceStatement(text: string): ResourceStatement {
  const match = STATEMENT.exec(text)
  if (match === null) throw malformedProof()
  const [, statement = '', signature = '', policy = '', row = ''] = match
  const parsed = {
    statement: fromBase64url(statement),
    signature: fromBase64url(signature),
    policy: fromBase64url(policy),
    row: parseNodes(row, ROW_NODES_MAX),
  }
  if (parsed.signature.length !== SIGNATURE_BYTES || parsed.row.length === 1) throw malformedProof()
  return parsed
}

/** What stands in the resource, up to its row: all of it where there is none. */
export function formatResourceStatement({
  statement,
  signature,
  policy,
}: Omit<ResourceStatement, 'row'>): string {
  return `v1.${toBase64url(statement)}.${toBase64url(signature)}.${toBase64url(policy)}`
}
