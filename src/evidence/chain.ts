// The chain of statements of one stream (instance, boot, tenant), and the keys under which its statements are stored.
import { type KeyObject, sign } from 'node:crypto'
import {
  decodeSignedStatement,
  decodeStatement,
  encodeSignedStatement,
  encodeStatement,
  type Kind,
  pae,
  STATEMENT_TYPE,
  type Statement,
  statementHash,
} from './statement.ts'

export interface SigningKey {
  readonly keyId: string
  /** Ed25519, or the secret key of `hmac-sha256`. */
  readonly privateKey: KeyObject
}

/** Goes into the statement table in the same transaction as the spans. */
export interface StatementRecord {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** Who signs: the same for every stream of a process. */
export interface Signer {
  readonly instanceId: string
  /** 16 bytes, new for each start; UUID version 7, so that boots are stored in order. */
  readonly bootId: Uint8Array
  readonly policyId: Uint8Array
}

/** What differs from statement to statement. */
export type Draft = Pick<Statement, 'leafCount' | 'root' | 'coverage' | 'tombstone'> & { readonly kind: Kind }

export interface ChainedStatement {
  readonly number: number
  readonly statement: Uint8Array
  readonly signature: Uint8Array
  readonly record: StatementRecord
}

const Prefix = { STATEMENT: 0, TIP: 1 } as const

export class Chain {
  readonly tenant: string
  readonly #signer: Signer
  #number = 0
  #previous: Uint8Array
  #last: StatementRecord | undefined

  /**
   * `tip` is the tenant's last SignedStatement: of an earlier boot, or of this one where the stream ended and goes on.
   * Throws MALFORMED when it cannot be read.
   */
  constructor(signer: Signer, tenant: string, tip: Uint8Array | undefined) {
    this.#signer = signer
    this.tenant = tenant
    if (tip === undefined) {
      this.#previous = new Uint8Array(0)
      return
    }
    const { statement } = decodeSignedStatement(tip)
    this.#previous = statementHash(statement)
    const { bootId, number } = decodeStatement(statement)
    if (Buffer.compare(bootId, signer.bootId) === 0) this.#number = number + 1
  }

  get isBooted(): boolean {
    return this.#number > 0
  }

  /** The statement that was signed last. */
  get last(): StatementRecord | undefined {
    return this.#last
  }

  append(draft: Draft, key: SigningKey, nowNs: bigint): ChainedStatement {
    const number = this.#number
    const statement = encodeStatement({
      ...draft,
      instanceId: this.#signer.instanceId,
      bootId: this.#signer.bootId,
      tenant: this.tenant,
      number,
      timeNs: nowNs,
      previous: this.#previous,
      policyId: this.#signer.policyId,
      keyId: key.keyId,
    })
    const signature = sign(null, pae(STATEMENT_TYPE, statement), key.privateKey)
    const record = {
      key: statementKey(this.tenant, this.#signer.bootId, number),
      value: encodeSignedStatement({ statement, signature }),
    }
    this.#number = number + 1
    this.#previous = statementHash(statement)
    this.#last = record
    return { number, statement, signature, record }
  }

  /** Where the chain stands, for `rewind`. */
  mark(): ChainMark {
    return { number: this.#number, previous: this.#previous, last: this.#last }
  }

  /** Takes back statements that nobody has seen: only inside one synchronous call. */
  rewind(mark: ChainMark): void {
    this.#number = mark.number
    this.#previous = mark.previous
    this.#last = mark.last
  }
}

export interface ChainMark {
  readonly number: number
  readonly previous: Uint8Array
  readonly last: StatementRecord | undefined
}

/** The key of a statement in the store (proto/evidence.md §8). */
export function statementKey(tenant: string, bootId: Uint8Array, number: number): Uint8Array {
  const head = tenantKey(Prefix.STATEMENT, tenant)
  const key = Buffer.alloc(head.length + bootId.length + 8)
  key.set(head)
  key.set(bootId, head.length)
  key.writeBigUInt64BE(BigInt(number), head.length + bootId.length)
  return key
}

/** The key under which a tenant's last statement is stored: what `tips` reads. */
export function tipKey(tenant: string): Uint8Array {
  return tenantKey(Prefix.TIP, tenant)
}

export function isTipRecord(record: StatementRecord): boolean {
  return record.key[0] === Prefix.TIP
}

function tenantKey(prefix: number, tenant: string): Uint8Array {
  const name = Buffer.from(tenant)
  const key = Buffer.alloc(3 + name.length)
  key[0] = prefix
  key.writeUInt16BE(name.length, 1)
  key.set(name, 3)
  return key
}
