// What a transport knows of its client: one header that may name the tenant, and a verified certificate. A
// certificate is proof and a header is a claim, so where both name a tenant they must agree.
import type { PeerCertificate } from 'node:tls'
import { SidecarError } from '../base/errors.ts'
import type { TenantOptions, TenantResolver } from '../pipeline/tenant.ts'

/**
 * The tenant that a transport names, resolved; `undefined` when it names none.
 * `headers` are all values of the tenant header: two of them would mean that a proxy and a client disagree.
 * Throws TENANT_DENIED.
 */
export function transportTenant(
  resolver: TenantResolver,
  headers: readonly string[],
  certificate: PeerCertificate | undefined,
): string | undefined {
  if (headers.length > 1) throw new SidecarError('TENANT_DENIED', 'tenant header appears more than once')
  const claimed = headers[0] === '' ? undefined : headers[0]
  const proven = certificateTenant(resolver.options.certificate, certificate)
  if (proven === undefined) return claimed === undefined ? undefined : resolver.resolve(claimed)
  if (claimed !== undefined && claimed !== proven) {
    throw new SidecarError('TENANT_DENIED', 'tenant header contradicts the client certificate')
  }
  return resolver.resolve(proven)
}

function certificateTenant(
  source: TenantOptions['certificate'],
  certificate: PeerCertificate | undefined,
): string | undefined {
  if (source === 'none') return undefined
  const name = certificate && (source === 'cn' ? commonName(certificate) : soleAlternativeName(certificate))
  if (name === undefined) throw new SidecarError('TENANT_DENIED', 'client certificate names no tenant')
  return name
}

function commonName(certificate: PeerCertificate): string | undefined {
  const name: unknown = certificate.subject?.CN
  // Several CNs come as an array; which one counts would be a guess.
  return typeof name === 'string' && name !== '' ? name : undefined
}

// `DNS:acme` or `URI:spiffe://…`; node quotes names that hold a comma, and those name no tenant of ours.
function soleAlternativeName(certificate: PeerCertificate): string | undefined {
  const names = certificate.subjectaltname?.split(', ') ?? []
  const match = names.length === 1 ? /^(?:DNS|URI):([^"]+)$/.exec(names[0]!) : null
  return match?.[1]
}
