// test/vectors/sealed-value.json was made by a second implementation, in Python, that follows proto/sealed-value.md.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { announcedFacts, announcementKid, parseAnnouncement } from '../../../src/formats/announcement.ts'
import { type KmsContext, serialiseContext } from '../../../src/formats/key-context.ts'
import { PseudonymKey } from '../../../src/formats/pseudonym.ts'
import { associatedData, deriveKeys, findTokens, shortHash } from '../../../src/formats/sealed-value.ts'
import { namedPlace } from '../../../src/formats/value-place.ts'
import { OpeningKey } from '../../../src/keys/data/opening-key.ts'
import { derivePseudonymKey } from '../../../src/keys/data/pseudonym-file.ts'
import { SealingKey } from '../../../src/keys/data/sealing-key.ts'
import { tenantSecret } from '../../../src/keys/data/tenant-secret.ts'
import { givenKms } from '../kms/given-kms.ts'

interface ValueVector {
  readonly name: string
  readonly plaintext: string
  readonly place: string
  readonly path: readonly string[]
  readonly dataClass: string
  /** Trace id and span id, or empty. */
  readonly ids: string
  readonly counter: number
  readonly associatedData: string
  readonly token: string
}
interface CaseVector {
  readonly name: string
  readonly provider: string
  readonly masterKeyId: string
  readonly context: KmsContext
  readonly classes: readonly string[]
  readonly idsBound: boolean
  readonly padded: boolean
  readonly tenantSecret: string
  readonly created: string
  readonly dataKey: string
  readonly wrappedKey: string
  readonly serialisedContext: string
  readonly sealingKey: string
  readonly commitment: string
  readonly announcement: string
  readonly kid: string
  readonly values: readonly ValueVector[]
  readonly refused: readonly {
    readonly name: string
    readonly announcement: string
    readonly token: string
    readonly place: string
    readonly path: readonly string[]
    readonly ids: string
  }[]
}
interface Vectors {
  readonly cases: readonly CaseVector[]
  readonly find: readonly { readonly text: string; readonly tokens: readonly string[] }[]
  readonly pseudonymKey: string
  readonly pseudonyms: readonly {
    readonly dataClass: string
    readonly value: string
    readonly bits: number
    readonly token: string
  }[]
  readonly pseudonymRoots: readonly {
    readonly root: string
    readonly id: string
    readonly tenant: string
    readonly key: string
    readonly kid: string
  }[]
}

const never = new AbortController().signal
const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const file = new URL('../../vectors/sealed-value.json', import.meta.url)
// The file is checked in; its shape is what the tests below hold it to.
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors

const placeOf = ({ place, path }: { readonly place: string; readonly path: readonly string[] }): string =>
  namedPlace(place, path)!
const idsOf = ({ ids }: { readonly ids: string }): Buffer | undefined => (ids === '' ? undefined : hex(ids))

const secretOf = (vector: CaseVector) =>
  vector.tenantSecret === '' ? undefined : tenantSecret(hex(vector.tenantSecret))
const kmsOf = (vector: CaseVector) =>
  givenKms({ ...vector, dataKey: hex(vector.dataKey), wrappedKey: hex(vector.wrappedKey) })

test('there are vectors', () => {
  expect(vectors.cases.length).toBeGreaterThanOrEqual(4)
  for (const { values } of vectors.cases) expect(values.length).toBeGreaterThanOrEqual(10)
})

for (const vector of vectors.cases) {
  describe(`vector: ${vector.name}`, () => {
    test('context, keys and announcement come out as in the vector', async () => {
      const { key, commitment } = deriveKeys(
        hex(vector.dataKey),
        announcedFacts(parseAnnouncement(vector.announcement)!),
        secretOf(vector)?.bytes,
      )
      expect(Buffer.from(serialiseContext(vector.context)).toString('hex')).toBe(vector.serialisedContext)
      expect(key.export().toString('hex')).toBe(vector.sealingKey)
      expect(Buffer.from(commitment).toString('hex')).toBe(vector.commitment)
      expect(announcementKid(vector.announcement)).toBe(vector.kid)
    })

    test('every value opens to its plaintext', async () => {
      const opening = await OpeningKey.unwrap(kmsOf(vector), vector.announcement, secretOf(vector), never)
      for (const value of vector.values) {
        const opened = opening.open(value.token, placeOf(value), [idsOf(value)])
        expect(Buffer.from(opened.plaintext).toString('hex'), value.name).toBe(value.plaintext)
        expect(opened.dataClass, value.name).toBe(value.dataClass)
      }
    })

    test('every value made again from the same inputs is the same token', async () => {
      const sealing = await SealingKey.generate(
        kmsOf(vector),
        {
          tenant: vector.context.tenantId,
          dataClasses: vector.classes,
          idsBound: vector.idsBound,
          padded: vector.padded,
          tenantSecret: secretOf(vector),
          nowMs: Date.parse(vector.created),
        },
        never,
      )
      expect(sealing.announcement).toBe(vector.announcement)
      expect(sealing.announcementKey).toBe(`betrace.key.${vector.kid}`)
      const tokens = sealing.sealAll(
        vector.values.map((value) => ({
          plaintext: hex(value.plaintext),
          place: placeOf(value),
          dataClass: value.dataClass,
          ids: idsOf(value),
        })),
      )
      expect(vector.values.map(({ counter }) => counter)).toEqual(vector.values.map((_, index) => index))
      expect(tokens).toEqual(vector.values.map(({ token }) => token))
      for (const value of vector.values) {
        const ids = vector.idsBound ? idsOf(value) : undefined
        const data = associatedData(
          vector.context.tenantId,
          value.dataClass,
          placeOf(value),
          ids !== undefined,
        )
        if (ids !== undefined) data.set(ids, data.length - ids.length)
        expect(data.toString('hex'), value.name).toBe(value.associatedData)
      }
    })

    test.each(vector.refused)('refused: $name', async (refused) => {
      const open = async () => {
        const opening = await OpeningKey.unwrap(kmsOf(vector), refused.announcement, secretOf(vector), never)
        opening.open(refused.token, placeOf(refused), [idsOf(refused)])
      }
      await expect(open()).rejects.toMatchObject({ code: 'SEALED_VALUE' })
    })
  })
}

test('tokens are found in text where the vectors say', () => {
  expect(vectors.find.length).toBeGreaterThan(3)
  for (const { text, tokens } of vectors.find) {
    expect(findTokens(text).map(({ start, end }) => text.slice(start, end))).toEqual(tokens)
  }
})

test('pseudonyms, whole and truncated, are those of the vectors', () => {
  const key = new PseudonymKey(hex(vectors.pseudonymKey))
  expect(vectors.pseudonyms.length).toBeGreaterThan(5)
  for (const { dataClass, value, bits, token } of vectors.pseudonyms) {
    expect(key.pseudonym(dataClass, hex(value), bits)).toBe(token)
  }
})

test('a tenant’s key comes out of a shared root as in the vectors', () => {
  expect(vectors.pseudonymRoots.length).toBeGreaterThan(3)
  for (const { root, id, tenant, key, kid } of vectors.pseudonymRoots) {
    const derived = derivePseudonymKey(hex(root), tenant)
    expect(Buffer.from(derived).toString('hex')).toBe(key)
    expect(new PseudonymKey(derived).kid).toBe(kid)
    expect(shortHash('betrace/pseudonym-root/v1', hex(root))).toBe(id)
  }
})
