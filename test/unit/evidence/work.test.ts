// What evidence looks at, against the size of a request: for each way in which parts of one can multiply.
import { sign } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { EVIDENCE_WORK } from '../../../src/base/limits.ts'
import { CanonicalForm } from '../../../src/evidence/canonical.ts'
import { Evidence, type SigningKey } from '../../../src/evidence/evidence.ts'
import { nodeFromPath, pathLength } from '../../../src/evidence/merkle.ts'
import { compileCoverage, Policy } from '../../../src/evidence/policy.ts'
import { SignatureKey, signatureAttributes, toBase64url } from '../../../src/evidence/proof.ts'
import { SelectedSpans } from '../../../src/evidence/selected-spans.ts'
import { SpanWalk } from '../../../src/evidence/span-walk.ts'
import {
  DEFAULT_COVERAGE,
  encodeStatement,
  Kind,
  pae,
  STATEMENT_TYPE,
} from '../../../src/evidence/statement.ts'
import { Verifier, verifyTraces } from '../../../src/evidence/verify.ts'
import { attribute, bytesOf, inside, SHAPES } from '../wire/shapes.ts'
import { BOOT_ID, lookup, NOW_NS, testKey } from './otlp.ts'

const key = testKey('k1')
const GROUPS_MAX = 10_000
const tenants = new Array<string>(GROUPS_MAX).fill('acme')
const keys = new Map<string, SigningKey>([['acme', key]])

function signingWork(body: Uint8Array): number {
  const spans = new SelectedSpans(new Policy(), undefined)
  spans.find(body, tenants)
  return spans.work.bytes
}

function signed(body: Uint8Array): Uint8Array {
  const evidence = new Evidence({ instanceId: 'sidecar-1', bootId: BOOT_ID }, () => undefined)
  return evidence.sign(body, tenants, keys, NOW_NS).body
}

function verifyingWork(body: Uint8Array): number {
  const verifier = new Verifier({ keys: lookup(key), expected: 'all' })
  verifier.add(body)
  return verifier.work.bytes
}

describe.each(Object.entries(SHAPES))('%s', (_name, shape) => {
  const bodies = [shape(1000), shape(2000)] as const

  test('signing looks at twice as much where the request is twice as large', () => {
    expectLinear(bodies, signingWork)
  })

  test('verifying does as well, also where every span is a replay', () => {
    expectLinear([signed(bodies[0]), signed(bodies[1])], verifyingWork)
  })
})

function expectLinear(bodies: readonly [Uint8Array, Uint8Array], workOf: (body: Uint8Array) => number): void {
  const [small, large] = bodies.map((body) => workOf(body) / body.length) as [number, number]
  expect(large, 'work for each byte').toBeLessThan(small * 1.4 + 0.1)
  expect(large).toBeLessThan(EVIDENCE_WORK.perByte)
}

test('a leaf count that no batch has does not keep the verifier busy', () => {
  const leafCount = 2 ** 40
  const body = claimingLeaves(leafCount)
  const { summary } = verifyTraces(body, { keys: lookup(key) })
  expect(summary.counts.valid).toBe(1)
  expect(summary.incomplete[0]!.missing).toEqual([[1, leafCount - 1]])
})

/** A span whose signer says that it is the first of so many leaves. */
function claimingLeaves(leafCount: number): Uint8Array {
  const plain = SHAPES['small spans']!(1)
  const path = Array.from({ length: pathLength(0, leafCount) }, () => new Uint8Array(32))
  const root = nodeFromPath(leafOf(plain), 0, leafCount, path)!
  const statement = encodeStatement({
    kind: Kind.BATCH,
    instanceId: 'sidecar-1',
    bootId: BOOT_ID,
    tenant: 'acme',
    number: 1,
    timeNs: NOW_NS,
    previous: new Uint8Array(32),
    policyId: new Policy().id,
    keyId: key.keyId,
    leafCount,
    root,
  })
  const signature = sign(null, pae(STATEMENT_TYPE, statement), key.privateKey)
  const head = `v1.0.${toBase64url(statement)}.${toBase64url(new Policy().document)}`
  const proof = `${head}.${path.map(toBase64url).join('')}`
  const attributes = signatureAttributes(signature, 'ed25519-merkle-v1', NOW_NS, key.keyId)
  return bytesOf((out) =>
    inside(out, 1, () =>
      inside(out, 2, () =>
        inside(out, 2, () => {
          out.raw(attributes)
          attribute(out, 9, SignatureKey.PROOF, proof)
        }),
      ),
    ),
  )
}

function leafOf(body: Uint8Array): Uint8Array {
  const form = new CanonicalForm(compileCoverage(DEFAULT_COVERAGE))
  let leaf = ''
  new SpanWalk({
    resource() {},
    scope() {},
    span(each) {
      leaf = form.leaf(each)
    },
  }).run(body)
  return Buffer.from(leaf, 'latin1')
}
