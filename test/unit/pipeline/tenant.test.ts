import type { PeerCertificate } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import { type TenantOptions, TenantResolver, tenantDefaults } from '../../../src/pipeline/tenant.ts'
import { transportTenant } from '../../../src/receivers/identity.ts'

const make = (options: Partial<TenantOptions> = {}): TenantResolver =>
  new TenantResolver({ ...tenantDefaults, ...options })

function outcome(work: () => string | undefined): string | undefined {
  try {
    return work()
  } catch (error) {
    if (error instanceof SidecarError) return error.code
    throw error
  }
}

describe('names', () => {
  test.each([
    ['acme', 'acme'],
    ['a', 'a'],
    ['Acme Corp', 'Acme Corp'],
    ['__proto__', '__proto__'],
    ['constructor', 'constructor'],
    ['x'.repeat(128), 'x'.repeat(128)],
    ['x'.repeat(129), 'TENANT_DENIED'],
    [' acme', 'TENANT_DENIED'],
    ['acme ', 'TENANT_DENIED'],
    [' ', 'TENANT_DENIED'],
    ['a\nb', 'TENANT_DENIED'],
    ['a\u0000b', 'TENANT_DENIED'],
    ['a\u007fb', 'TENANT_DENIED'],
    ['zürich', 'TENANT_DENIED'],
    ['', 'default'],
    [undefined, 'default'],
  ])('%j stands for %j', (name, expected) => {
    expect(outcome(() => make().resolve(name))).toBe(expected)
  })

  test('with unknown: default an invalid name counts as the default tenant', () => {
    expect(make({ unknown: 'default' }).resolve('a\nb')).toBe('default')
  })

  test('a default that is no name is a CONFIG error', () => {
    expect(outcome(() => make({ default: '' }).options.default)).toBe('CONFIG')
  })

  test('resolve can be handed on as a function', () => {
    const { resolve } = make()
    expect(resolve('acme')).toBe('acme')
  })
})

describe('the allow list', () => {
  const allow = ['acme', '__proto__']
  test.each([
    ['deny', 'acme', 'acme'],
    ['deny', '__proto__', '__proto__'],
    ['deny', 'default', 'default'],
    ['deny', 'toString', 'TENANT_DENIED'],
    ['deny', 'other', 'TENANT_DENIED'],
    ['default', 'other', 'default'],
  ] as const)('with %s, %s stands for %s', (unknown, name, expected) => {
    expect(outcome(() => make({ allow, unknown }).resolve(name))).toBe(expected)
  })
})

describe('the cap', () => {
  test.each([
    ['deny', 'TENANT_DENIED'],
    ['default', 'default'],
  ] as const)('with %s, one too many becomes %s and known ones still pass', (unknown, expected) => {
    const resolver = make({ max: 3, unknown })
    expect(resolver.resolve('a')).toBe('a')
    expect(resolver.resolve('b')).toBe('b')
    expect(outcome(() => resolver.resolve('c'))).toBe(expected)
    expect(resolver.resolve('a')).toBe('a')
    expect(resolver.tenantCount).toBe(3)
  })

  test('refused names use up no room', () => {
    const resolver = make({ max: 2, allow: ['a'], unknown: 'default' })
    for (let index = 0; index < 100; index++) resolver.resolve(`stranger-${index}`)
    expect(resolver.resolve('a')).toBe('a')
  })
})

describe('what a transport says', () => {
  // The fields that are read; the rest of a PeerCertificate has no meaning here.
  const certificate = (cn: string | string[], san: string): PeerCertificate =>
    ({ subject: { CN: cn }, subjectaltname: san }) as unknown as PeerCertificate

  test.each([
    ['no header', 'none', [], undefined, undefined],
    ['an empty header', 'none', [''], undefined, undefined],
    ['a header', 'none', ['acme'], undefined, 'acme'],
    ['two headers', 'none', ['acme', 'acme'], undefined, 'TENANT_DENIED'],
    ['a certificate that is not asked for', 'none', ['acme'], certificate('other', ''), 'acme'],
    ['a common name', 'cn', [], certificate('acme', ''), 'acme'],
    ['a common name and the same header', 'cn', ['acme'], certificate('acme', ''), 'acme'],
    ['a common name and another header', 'cn', ['evil'], certificate('acme', ''), 'TENANT_DENIED'],
    ['two common names', 'cn', [], certificate(['acme', 'evil'], ''), 'TENANT_DENIED'],
    ['no certificate', 'cn', ['acme'], undefined, 'TENANT_DENIED'],
    ['a DNS name', 'san', [], certificate('x', 'DNS:acme'), 'acme'],
    ['a URI', 'san', [], certificate('x', 'URI:spiffe://acme/app'), 'spiffe://acme/app'],
    ['two alternative names', 'san', [], certificate('x', 'DNS:acme, DNS:evil'), 'TENANT_DENIED'],
    ['an address', 'san', [], certificate('x', 'IP Address:10.0.0.1'), 'TENANT_DENIED'],
    ['a quoted name', 'san', [], certificate('x', 'DNS:"acme, DNS:evil"'), 'TENANT_DENIED'],
  ] as const)('%s', (_name, source, headers, peer, expected) => {
    expect(outcome(() => transportTenant(make({ certificate: source }), headers, peer))).toBe(expected)
  })
})
