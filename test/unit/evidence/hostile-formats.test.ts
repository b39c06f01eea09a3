// Every reader of a format over damaged and invented input: it answers, or refuses in one line; it never fails otherwise, and
// what it takes is in the one form. BETRACE_FORMAT_SEED repeats a failing run, BETRACE_FORMAT_COUNT makes it longer.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import { parseReference, parseResourceStatement } from '../../../src/evidence/compact-proof.ts'
import { keysFromJson } from '../../../src/evidence/listed-keys.ts'
import { decodePolicy } from '../../../src/evidence/policy.ts'
import { parseProof } from '../../../src/evidence/proof.ts'
import { decodeSignedStatement, decodeStatement } from '../../../src/evidence/statement.ts'
import { formatAnnouncement, parseAnnouncement } from '../../../src/formats/announcement.ts'
import { parseToken } from '../../../src/formats/sealed-value.ts'

const SEED = Number(process.env.BETRACE_FORMAT_SEED ?? (Date.now() % 1_000_000) + 1)
const COUNT = Number(process.env.BETRACE_FORMAT_COUNT ?? 2_000)
console.log(`BETRACE_FORMAT_SEED=${SEED}`)

interface SignedVectors {
  readonly policies: readonly { readonly encoded: string }[]
  readonly statements: readonly { readonly encoded: string }[]
  readonly signed: readonly { readonly request: { readonly resourceSpans: readonly Group[] } }[]
}
interface Group {
  readonly resource: { readonly attributes?: readonly Attribute[] }
  readonly scopeSpans: readonly {
    readonly spans: readonly { readonly attributes?: readonly Attribute[] }[]
  }[]
}
interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string }
}
interface SealedVectors {
  readonly cases: readonly {
    readonly announcement: string
    readonly values: readonly { readonly token: string }[]
  }[]
}
interface EndorsementVectors {
  readonly cases?: readonly unknown[]
}

const load = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url), 'utf8'))
const signed = load('evidence') as SignedVectors // made by evidence.py, which fixes the shape
const sealed = load('sealed-value') as SealedVectors // made by sealed_value.py
const endorsements = load('key-endorsement') as EndorsementVectors // made by key_endorsement.py

const groups = signed.signed.flatMap(({ request }) => request.resourceSpans)
const textsOf = (isWanted: (key: string) => boolean): string[] =>
  groups
    .flatMap(({ resource, scopeSpans }) => [
      ...(resource.attributes ?? []),
      ...scopeSpans.flatMap(({ spans }) => spans.flatMap(({ attributes }) => attributes ?? [])),
    ])
    .filter(({ key }) => isWanted(key))
    .flatMap(({ value }) => value.stringValue ?? [])

/** Objects with a tenant and keys, wherever they stand. */
function listsIn(value: unknown): unknown[] {
  if (typeof value !== 'object' || value === null) return []
  if ('tenantId' in value && 'keys' in value) return [value]
  return Object.values(value).flatMap(listsIn)
}

interface Reader {
  readonly samples: readonly Buffer[]
  /** `undefined` where it is no such thing; throws an Error where what it took is not in the one form. */
  readonly read: (input: Buffer) => unknown
}

const texts = (samples: readonly string[]): Buffer[] => samples.map((each) => Buffer.from(each))
const bytes = (samples: readonly { readonly encoded: string }[]): Buffer[] =>
  samples.map(({ encoded }) => Buffer.from(encoded, 'hex'))
const isSame = (one: Uint8Array, other: Uint8Array): void => {
  if (Buffer.compare(one, other) !== 0) throw new Error('taken, and not in the one form')
}

const READERS: Readonly<Record<string, Reader>> = {
  'proof, inline': {
    samples: texts(textsOf((key) => key === 'span.signature.proof')),
    read: (input) => parseProof(input.toString('utf8')),
  },
  'proof, compact': {
    samples: texts(textsOf((key) => key === 'span.signature').filter((text) => text.startsWith('v1.'))),
    read: (input) => parseReference(input.toString('utf8')),
  },
  'statement in a resource': {
    samples: texts(textsOf((key) => key.startsWith('betrace.statement.'))),
    read: (input) => parseResourceStatement(input.toString('utf8')),
  },
  statement: { samples: bytes(signed.statements), read: (input) => decodeStatement(input) },
  'signed statement': {
    samples: bytes(signed.statements).map((statement) =>
      Buffer.concat([
        Buffer.of(0x0a, (statement.length & 0x7f) | 0x80, statement.length >> 7),
        statement,
        Buffer.of(0x12, 64),
        Buffer.alloc(64, 7),
      ]),
    ),
    read: (input) => decodeSignedStatement(input),
  },
  policy: { samples: bytes(signed.policies), read: (input) => decodePolicy(input) },
  announcement: {
    samples: texts(sealed.cases.map(({ announcement }) => announcement)),
    read: (input) => {
      const text = input.toString('utf8')
      const read = parseAnnouncement(text)
      if (read !== undefined) isSame(Buffer.from(formatAnnouncement(read)), Buffer.from(text))
      return read
    },
  },
  token: {
    samples: texts(sealed.cases.flatMap(({ values }) => values.map(({ token }) => token))),
    read: (input) => parseToken(input.toString('utf8')),
  },
  'key list and trust file': {
    samples: texts(listsIn(endorsements).map((list) => JSON.stringify(list))),
    read: (input) => {
      const document = parsed(input)
      const keys = keysFromJson([document], { documents: [document] })
      return keys('A'.repeat(22), 'acme', 'ed25519-merkle-v1') ?? keys
    },
  },
}

function parsed(input: Buffer): unknown {
  try {
    return JSON.parse(input.toString('utf8'))
  } catch {
    throw new SidecarError('USAGE', 'is not JSON')
  }
}

let state = SEED
function random(below: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((state / 2 ** 32) * below)
}
const pick = <T>(from: readonly T[]): T => from[random(from.length)]!

function damaged(samples: readonly Buffer[]): Buffer {
  let input: Buffer = Buffer.from(pick(samples))
  for (let edits = 1 + random(3); edits > 0; edits--) {
    const at = random(input.length + 1)
    const to = Math.min(input.length, at + random(40))
    const piece = pick([
      () => Buffer.of(random(256)),
      () => Buffer.alloc(0),
      () =>
        Buffer.from(pick(['.', 'A', '=', '-', '0', '"', '}', 'null', '\u0000', '\ud83e', ',"x":1', 'v1.'])),
      () => input.subarray(at, to),
      () => Buffer.concat([input.subarray(at, to), input.subarray(at, to)]),
      () => pick(samples).subarray(at, to),
      () => Buffer.alloc(random(300), random(256)),
    ])()
    input = Buffer.concat([input.subarray(0, at), piece, input.subarray(random(2) === 0 ? at : to)])
  }
  return input
}

/** What a reader made of it: an answer, or a refusal with a code of ours and one line. */
function outcome(read: Reader['read'], input: Buffer): string {
  try {
    return read(input) === undefined ? 'no such thing' : 'taken'
  } catch (thrown) {
    if (!(thrown instanceof SidecarError)) throw thrown
    expect(['MALFORMED', 'USAGE', 'TOO_LARGE', 'TOO_DEEP']).toContain(thrown.code)
    expect(thrown.message).not.toContain('\n')
    expect(thrown.message.length).toBeLessThan(120)
    return thrown.code
  }
}

describe.each(Object.entries(READERS))('%s', (name, { samples, read }) => {
  test('takes what is good', () => {
    expect(samples.length).toBeGreaterThan(0)
    const good = samples.filter((sample) => outcome(read, sample) === 'taken')
    expect(good.length).toBeGreaterThan(0)
  })

  test(`${COUNT} damaged inputs`, { timeout: 300_000 }, () => {
    const counts = new Map<string, number>()
    for (let i = 0; i < COUNT; i++) {
      const input = damaged(samples)
      try {
        const what = outcome(read, input)
        counts.set(what, (counts.get(what) ?? 0) + 1)
      } catch (thrown) {
        throw new Error(`seed ${SEED}, input ${i}: ${input.toString('hex').slice(0, 2_000)}`, {
          cause: thrown,
        })
      }
    }
    console.log(`${name}: ${[...counts].map(([what, count]) => `${count} ${what}`).join(', ')}`)
  })

  test('a megabyte of anything is answered at once and leaves nothing', () => {
    const sample = samples[0]!
    const inputs = [
      Buffer.alloc(1 << 20, 'A'),
      Buffer.alloc(1 << 20, '['),
      Buffer.alloc(1 << 20, '.A'),
      Buffer.alloc(1 << 20, sample.subarray(0, Math.ceil(sample.length / 2))),
      Buffer.concat([sample, Buffer.alloc(1 << 20, sample.subarray(-43))]),
      Buffer.alloc(1 << 20, Buffer.of(0x0a, 0x00)),
    ]
    const heapBefore = process.memoryUsage().heapUsed
    const startedMs = performance.now()
    for (const input of inputs) outcome(read, input)
    expect(performance.now() - startedMs).toBeLessThan(5_000)
    expect(process.memoryUsage().heapUsed - heapBefore).toBeLessThan(256 * 1024 * 1024)
  })
})
