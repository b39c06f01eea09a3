import { X509Certificate } from 'node:crypto'

const BEGIN = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/g
const WHOLE =
  /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]+-----END (?:X509 |TRUSTED )?CERTIFICATE-----/g

/**
 * What is wrong with a list of authorities, as the end of a sentence. OpenSSL passes over what it cannot read in one, and
 * every peer would then be a stranger for no reason that anybody sees.
 */
export function certificatesProblem(
  pem: Uint8Array,
): 'holds no certificate' | 'holds a damaged certificate' | undefined {
  const text = Buffer.from(pem).toString('latin1')
  const beginCount = text.match(BEGIN)?.length ?? 0
  const blocks = text.match(WHOLE) ?? []
  if (beginCount === 0) return 'holds no certificate'
  if (blocks.length !== beginCount || !blocks.every(isCertificate)) return 'holds a damaged certificate'
  return undefined
}

function isCertificate(block: string): boolean {
  try {
    new X509Certificate(block)
    return true
  } catch {
    return false
  }
}
