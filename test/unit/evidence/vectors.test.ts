import { createPrivateKey, createSecretKey, hash, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { CanonicalForm } from '../../../src/evidence/canonical.ts'
import type { KeyLookup, VerifyingKey } from '../../../src/evidence/check.ts'
import { MerkleTree, NODE_CHARS } from '../../../src/evidence/merkle.ts'
import { type Algorithm, compileCoverage, decodePolicy, Policy } from '../../../src/evidence/policy.ts'
import { fromBase64url } from '../../../src/evidence/proof.ts'
import { type SpanContext, SpanWalk } from '../../../src/evidence/span-walk.ts'
import {
  type Coverage,
  DEFAULT_COVERAGE,
  decodeStatement,
  encodeStatement,
  type Kind,
  pae,
  type Reason,
  STATEMENT_TYPE,
  type Statement,
  statementHash,
} from '../../../src/evidence/statement.ts'
import { verifyTraces } from '../../../src/evidence/verify.ts'
import { ed25519PublicKey } from '../../../src/formats/ed25519.ts'
import { jsonToProtobuf, protobufToJson } from '../../../src/wire/json.ts'

interface CoverageVector {
  readonly resource_attributes: string[]
  readonly mutable: string[]
}

interface StatementVector {
  readonly kind: number
  readonly instance_id: string
  readonly boot_id: string
  readonly tenant: string
  readonly number: number
  readonly time_unix_nano: string
  readonly previous: string
  readonly policy_id: string
  readonly key_id: string
  readonly leaf_count?: number
  readonly root?: string
  readonly coverage?: CoverageVector
  readonly tombstone?: { boot_id: string; number: number; ranges: [number, number][]; reason: number }
}

interface Vectors {
  readonly keys: { readonly k1: { seed: string; public_key: string }; readonly s1: { secret: string } }
  readonly spans: { name: string; request: unknown; canonical: string; leaf: string }[]
  readonly trees: { count: number; root: string; paths: string[] }[]
  readonly policies: {
    policy: {
      selection: number
      globs: string[]
      coverage: CoverageVector
      algorithm: Algorithm
    }
    encoded: string
    id: string
  }[]
  readonly statements: { statement: StatementVector; encoded: string; hash: string; signature: string }[]
  readonly signed: { name: string; request: unknown; verdicts: string[] }[]
}

const file = join(import.meta.dirname, '../../vectors/evidence.json')
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors // made by evidence.py, which fixes the shape

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const unhex = (text: string): Uint8Array => Buffer.from(text, 'hex')
const toProtobuf = (request: unknown): Uint8Array =>
  jsonToProtobuf(Buffer.from(JSON.stringify(request)), 'traces')
const coverageOf = ({ resource_attributes, mutable }: CoverageVector): Coverage => ({
  resourceAttributes: resource_attributes,
  mutable,
})

function canonicalForms(body: Uint8Array): { form: string; leaf: string }[] {
  const canonical = new CanonicalForm(compileCoverage(DEFAULT_COVERAGE))
  const found: { form: string; leaf: string }[] = []
  const walk = new SpanWalk({
    resource() {},
    scope() {},
    span(span: SpanContext) {
      const leaf = Buffer.from(canonical.leaf(span), 'latin1')
      found.push({ form: hex(canonical.form(span)), leaf: hex(leaf) })
    },
  })
  walk.run(body)
  return found
}

describe('canonical form', () => {
  test.each(vectors.spans)('agrees with the second implementation: $name', ({ request, canonical, leaf }) => {
    expect(canonicalForms(toProtobuf(request))).toEqual([{ form: canonical, leaf }])
  })

  test.each(vectors.spans)('survives our own JSON: $name', ({ request, canonical, leaf }) => {
    const json = Buffer.from(protobufToJson(toProtobuf(request), 'traces'))
    expect(canonicalForms(jsonToProtobuf(json, 'traces'))).toEqual([{ form: canonical, leaf }])
  })
})

test.each(vectors.trees)(
  'a tree of $count leaves has the root and paths of the recursive definition',
  (vector) => {
    const tree = new MerkleTree()
    for (let i = 0; i < vector.count; i++) tree.add(hash('sha256', Uint8Array.of(0, 0, 0, 0, i), 'binary'))
    expect(hex(tree.close())).toBe(vector.root)
    tree.encode()
    const out = Buffer.alloc(1000)
    const paths = vector.paths.map((_, index) => {
      const text = out.toString('latin1', 0, tree.writePath(index, out, 0))
      return (text.match(new RegExp(`.{${NODE_CHARS}}`, 'g')) ?? [])
        .map((node) => hex(fromBase64url(node)))
        .join('')
    })
    expect(paths).toEqual(vector.paths)
  },
)

test.each(vectors.policies)('policy document and id agree: $policy.globs', ({ policy, encoded, id }) => {
  const { selection, globs, coverage, algorithm } = policy
  const compiled = new Policy({
    select: selection === 1 ? 'compliance' : selection === 2 ? 'all' : globs,
    algorithm,
    resourceAttributes: coverage.resource_attributes.filter((key) => key !== 'betrace.tenant'),
    mutable: coverage.mutable,
  })
  expect(hex(compiled.document)).toBe(encoded)
  expect(hex(compiled.id)).toBe(id)
  const { select, coverage: covered } = decodePolicy(unhex(encoded))
  expect({ select, covered }).toEqual({ select: compiled.options.select, covered: compiled.coverage })
})

function statementOf(vector: StatementVector): Statement {
  const { root, leaf_count, coverage, tombstone } = vector
  return {
    kind: vector.kind as Kind, // the vectors hold known kinds and reasons only
    instanceId: vector.instance_id,
    bootId: unhex(vector.boot_id),
    tenant: vector.tenant,
    number: vector.number,
    timeNs: BigInt(vector.time_unix_nano),
    previous: unhex(vector.previous),
    policyId: unhex(vector.policy_id),
    keyId: vector.key_id,
    ...(leaf_count === undefined ? {} : { leafCount: leaf_count }),
    ...(root === undefined ? {} : { root: unhex(root) }),
    ...(coverage === undefined ? {} : { coverage: coverageOf(coverage) }),
    ...(tombstone === undefined
      ? {}
      : {
          tombstone: {
            bootId: unhex(tombstone.boot_id),
            number: tombstone.number,
            ranges: tombstone.ranges.map(([first, count]) => ({ first, count })),
            reason: tombstone.reason as Reason,
          },
        }),
  }
}

test.each(vectors.statements)(
  'statement $statement.number of kind $statement.kind: bytes, hash, signature',
  (vector) => {
    const encoded = encodeStatement(statementOf(vector.statement))
    expect(hex(encoded)).toBe(vector.encoded)
    expect(hex(statementHash(encoded))).toBe(vector.hash)
    expect(encodeStatement(decodeStatement(encoded))).toEqual(encoded)
    const pkcs8 = Buffer.concat([
      Buffer.from('302e020100300506032b657004220420', 'hex'),
      unhex(vectors.keys.k1.seed),
    ])
    const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
    expect(hex(sign(null, pae(STATEMENT_TYPE, encoded), key))).toBe(vector.signature)
  },
)

const publicKey: VerifyingKey = {
  algorithm: 'ed25519-merkle-v1',
  key: ed25519PublicKey(unhex(vectors.keys.k1.public_key)),
}
const secret: VerifyingKey = {
  algorithm: 'hmac-sha256',
  key: createSecretKey(unhex(vectors.keys.s1.secret)),
  tenant: 'acme',
}
const keys: KeyLookup = (keyId, tenant, algorithm) => {
  if (algorithm === 'hmac-sha256') return keyId === 's1' ? secret : undefined
  return keyId === 'k1' && tenant === 'acme' ? publicKey : undefined
}

test.each(vectors.signed)(
  'verdicts on spans that the second implementation signed: $name',
  ({ request, verdicts }) => {
    const { spans } = verifyTraces(toProtobuf(request), { keys })
    expect(spans.map(({ verdict }) => verdict)).toEqual(verdicts)
  },
)
