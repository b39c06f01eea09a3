// The two halves of a compact proof (proto/evidence.md §5): what the span carries, and what its resource carries once for
// all of them. Readers accept the canonical form only.
import { createHash } from 'node:crypto'
import { SidecarError } from '../base/errors.ts'
import { HASH_BYTES, NODE_CHARS } from './merkle.ts'
import { fromBase64url, toBase64url } from './proof.ts'

/** Of the resource attribute: this and the statement's id. */
export const STATEMENT_KEY_PREFIX = 'betrace.statement.'
export const STATEMENT_ID_CHARS = 22
const STATEMENT_ID_BYTES = 16
/** Nodes in a row, at most: what a sampled trace takes along stays under two kilobytes. */
export const ROW_NODES_MAX = 32
const PATH_NODES_MAX = 53
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
  if (match === null) throw malformed()
  const [, id = '', index, path = ''] = match
  if (fromBase64url(id).length !== STATEMENT_ID_BYTES) throw malformed()
  return { statementId: id, index: Number(index), path: parseNodes(path, PATH_NODES_MAX) }
}

/** Throws MALFORMED for anything but the canonical form. */
export function parseResourceStatement(text: string): ResourceStatement {
  const match = STATEMENT.exec(text)
  if (match === null) throw malformed()
  const [, statement = '', signature = '', policy = '', row = ''] = match
  const parsed = {
    statement: fromBase64url(statement),
    signature: fromBase64url(signature),
    policy: fromBase64url(policy),
    row: parseNodes(row, ROW_NODES_MAX),
  }
  if (parsed.signature.length !== SIGNATURE_BYTES || parsed.row.length === 1) throw malformed()
  return parsed
}

/** `row` is the text of its nodes, 43 characters each, or empty. */
export function formatResourceStatement(
  { statement, signature, policy }: Omit<ResourceStatement, 'row'>,
  row: string,
): string {
  const head = `v1.${toBase64url(statement)}.${toBase64url(signature)}.${toBase64url(policy)}`
  return row === '' ? head : `${head}.${row}`
}

function parseNodes(text: string, countMax: number): Uint8Array[] {
  if (text.length % NODE_CHARS !== 0 || text.length > countMax * NODE_CHARS) throw malformed()
  const nodes: Uint8Array[] = []
  for (let at = 0; at < text.length; at += NODE_CHARS) {
    const node = fromBase64url(text.slice(at, at + NODE_CHARS))
    if (node.length !== HASH_BYTES) throw malformed()
    nodes.push(node)
  }
  return nodes
}

function malformed(): SidecarError {
  return new SidecarError('MALFORMED', 'proof is not canonical')
}
