// Writes vectors with random keys, for the second implementation to judge:
//   node test/vectors/sealed-value.ts > /tmp/ours.json && python3 test/vectors/sealed_value.py check /tmp/ours.json
import { randomBytes } from 'node:crypto'
import { parseAnnouncement } from '../../src/formats/announcement.ts'
import { PseudonymKey } from '../../src/formats/pseudonym.ts'
import { findTokens } from '../../src/formats/sealed-value.ts'
import { namedPlace } from '../../src/formats/value-place.ts'
import { SealingKey } from '../../src/keys/data/sealing-key.ts'
import { tenantSecret } from '../../src/keys/data/tenant-secret.ts'
import { givenKms } from '../unit/kms/given-kms.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const never = new AbortController().signal
const pick = <T>(from: readonly T[]): T => from[randomBytes(1)[0]! % from.length]!

const TENANTS = ['acme', '__proto__', 'é🦊 "\\\u0001', '', 'x'.repeat(128)]
const CLASSES = ['email', 'payment_card', 'ip', 'credential', 'name']
const PLACES: readonly (readonly [place: string, path: readonly string[]])[] = [
  ['attribute', ['customer.email']],
  ['attribute', ['']],
  ['attribute', ['@span.name']],
  ['attribute', ['a', 'b']],
  ['attribute', ['é', 'k'.repeat(400)]],
  ['span.name', []],
  ['log.body', []],
  ['log.body', ['a.b', '']],
]

async function makeCase(index: number) {
  const tenant = TENANTS[index % TENANTS.length]!
  const secret = index % 2 === 0 ? undefined : tenantSecret(randomBytes(32))
  const key = {
    provider: 'local',
    masterKeyId: `local:${index}`,
    wrappedKey: randomBytes(61),
    dataKey: randomBytes(32),
  }
  const idsBound = index % 3 !== 0
  const padded = index % 4 === 0
  const nowMs = 1_790_000_000_000 + index
  const options = { tenant, dataClasses: CLASSES, idsBound, padded, tenantSecret: secret, nowMs }
  const sealing = await SealingKey.generate(givenKms(key), options, never)
  const items = Array.from({ length: 40 }, (_, counter) => ({
    plaintext: randomBytes(counter * 3),
    at: pick(PLACES),
    dataClass: pick(CLASSES),
    ids: counter % 2 === 0 ? randomBytes(24) : undefined,
  }))
  const tokens = sealing.sealAll(items.map(({ at, ...item }) => ({ ...item, place: namedPlace(...at)! })))
  return {
    name: `ours ${index}`,
    provider: key.provider,
    masterKeyId: key.masterKeyId,
    context: parseAnnouncement(sealing.announcement)!.context,
    classes: CLASSES,
    idsBound,
    padded,
    tenantSecret: secret === undefined ? '' : hex(secret.bytes),
    created: new Date(nowMs).toISOString(),
    dataKey: hex(key.dataKey),
    wrappedKey: hex(key.wrappedKey),
    announcement: sealing.announcement,
    kid: sealing.kid,
    values: items.map((item, counter) => ({
      name: `value ${counter}`,
      plaintext: hex(item.plaintext),
      place: item.at[0],
      path: item.at[1],
      dataClass: item.dataClass,
      ids: item.ids === undefined ? '' : hex(item.ids),
      counter,
      token: tokens[counter]!,
    })),
  }
}

const cases = await Promise.all(Array.from({ length: 10 }, (_, index) => makeCase(index)))
const texts = cases.map(({ values }) =>
  values.map(({ token }, index) => token + ['', '-x_', ' ', '.', 'é'][index % 5]).join(''),
)
const pseudonymKey = randomBytes(32)
const pseudonyms = new PseudonymKey(pseudonymKey)
process.stdout.write(
  JSON.stringify({
    cases,
    find: texts.map((text) => ({
      text,
      tokens: findTokens(text).map(({ start, end }) => text.slice(start, end)),
    })),
    pseudonymKey: hex(pseudonymKey),
    pseudonyms: Array.from({ length: 128 }, (_, index) => {
      const value = randomBytes(index)
      const dataClass = pick(CLASSES)
      return {
        dataClass,
        value: hex(value),
        bits: index + 1,
        token: pseudonyms.pseudonym(dataClass, value, index + 1),
      }
    }),
  }),
)
