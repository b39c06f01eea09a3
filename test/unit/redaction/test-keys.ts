// Small real keys: AES-256-GCM and HMAC from node:crypto, with tokens in the format of proto/sealed-value.md.
import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync } from 'node:crypto'
import type { Pseudonymizer } from '../../../src/formats/pseudonym.ts'
import type { Sealer, SealItem } from '../../../src/formats/sealed-value.ts'
import { placeText } from '../../../src/formats/value-place.ts'
import type { TenantKeys } from '../../../src/redaction/tenant-keys.ts'

const KID_CHARS = 22

export class TestSealer implements Sealer {
  readonly tenant: string
  readonly kid: string
  readonly announcement: string
  calls = 0
  #counter = 0n
  readonly #key: Uint8Array

  constructor(tenant: string, seed = 'seed') {
    this.tenant = tenant
    this.#key = new Uint8Array(hkdfSync('sha256', seed, '', tenant, 32))
    this.announcement = `{"v":1,"tenant":${JSON.stringify(tenant)},"seed":${JSON.stringify(seed)}}`
    this.kid = createHash('sha256').update(this.announcement).digest('base64url').slice(0, KID_CHARS)
  }

  get announcementKey(): string {
    return `betrace.key.${this.kid}`
  }

  sealAll(items: readonly SealItem[]): string[] {
    this.calls++
    return items.map((item) => this.#seal(item))
  }

  #seal(item: SealItem): string {
    const nonce = Buffer.alloc(12)
    nonce.writeUInt32BE(item.plaintext.length, 0)
    nonce.writeBigUInt64BE(this.nextNonce(item), 4)
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce)
    cipher.setAAD(aad(this.tenant, item.dataClass, placeText(item.place)))
    const sealed = Buffer.concat([nonce, cipher.update(item.plaintext), cipher.final(), cipher.getAuthTag()])
    return `enc.v1.${this.kid}.${sealed.toString('base64url')}`
  }

  protected nextNonce(_item: SealItem): bigint {
    return this.#counter++
  }

  /** The encoded AnyValue; throws when the token was not sealed by this key for this class and attribute. */
  open(token: string, dataClass: string, place: string): Uint8Array {
    const [, , kid, payload] = token.split('.')
    if (kid !== this.kid || payload === undefined) throw new Error('token of another key')
    const bytes = Buffer.from(payload, 'base64url')
    const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, 12))
    decipher.setAAD(aad(this.tenant, dataClass, place))
    decipher.setAuthTag(bytes.subarray(-16))
    return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()])
  }
}

/** Seals the same item into the same token, so that outcomes can be compared byte by byte. */
export class SteadySealer extends TestSealer {
  protected override nextNonce(item: SealItem): bigint {
    const digest = createHash('sha256')
      .update(aad(item.dataClass, placeText(item.place)))
      .update(item.plaintext)
      .digest()
    return digest.readBigUInt64BE()
  }
}

function aad(...parts: string[]): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      const bytes = Buffer.from(part)
      const length = Buffer.alloc(4)
      length.writeUInt32BE(bytes.length)
      return Buffer.concat([length, bytes])
    }),
  )
}

export class TestPseudonymizer implements Pseudonymizer {
  readonly kid: string
  readonly #key: string

  constructor(tenant: string) {
    this.#key = `pseudonym ${tenant}`
    this.kid = createHash('sha256').update(this.#key).digest('base64url').slice(0, KID_CHARS)
  }

  pseudonym(dataClass: string, value: Uint8Array, beaconBits = 128): string {
    const mac = createHmac('sha256', this.#key)
      .update(`${dataClass}\0`)
      .update(value)
      .digest()
      .subarray(0, 16)
    for (let bit = beaconBits; bit < 128; bit++) mac[bit >> 3]! &= ~(0x80 >> (bit & 7))
    return `tok.v1.${dataClass}.${this.kid}.${mac.toString('base64url').slice(0, Math.ceil(beaconBits / 6))}`
  }
}

export interface TestTenant extends TenantKeys {
  readonly sealer: TestSealer
  readonly pseudonymizer: TestPseudonymizer
}

export function testTenant(tenant = 'acme'): TestTenant {
  return { tenant, sealer: new TestSealer(tenant), pseudonymizer: new TestPseudonymizer(tenant) }
}
