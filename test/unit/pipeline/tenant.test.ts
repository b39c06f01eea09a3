import type { PeerCertificate } from 'node:tls'
import { describe, expect, test } from 'vitest'
import type { Clock } from '../../../src/base/clock.ts'
import { SidecarError } from '../../../src/base/errors.ts'
import { NEW_TENANTS_MAX, NEW_TENANTS_PER_SECOND, TENANT_IDLE_MS } from '../../../src/base/limits.ts'
import {
  type TenantOptions,
  TenantResolver,
  type TenantSurroundings,
  tenantDefaults,
} from '../../../src/pipeline/tenant.ts'
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

describe('places', () => {
  /** A clock that stands until it is moved. */
  function place(options: Partial<TenantOptions> = {}, surroundings: Partial<TenantSurroundings> = {}) {
    let nowMs = 0
    const clock: Clock = { nowMs: () => nowMs, nowNs: () => 0n, monotonicMs: () => nowMs }
    const resolver = new TenantResolver({ ...tenantDefaults, ...options }, { clock, ...surroundings })
    const accept = (...tenants: string[]): void => {
      resolver.enter(tenants)
      resolver.leave(tenants, true)
    }
    const pass = (ms: number): void => {
      nowMs += ms
    }
    return { resolver, accept, pass }
  }

  test.each([
    ['deny', 'TENANT_DENIED'],
    ['default', 'default'],
  ] as const)('with %s, one too many becomes %s and known ones still pass', (unknown, expected) => {
    const { resolver, accept } = place({ max: 3, unknown })
    accept('a', 'b')
    expect(outcome(() => resolver.resolve('c'))).toBe(expected)
    expect(resolver.resolve('a')).toBe('a')
    expect(resolver.tenantCount).toBe(3)
  })

  test('names take none, allowed or not', () => {
    const { resolver } = place({ max: 3 })
    for (let index = 0; index < 100; index++) resolver.resolve(`name-${index}`)
    expect(resolver.tenantCount).toBe(1)
    const strict = place({ max: 2, allow: ['a'], unknown: 'default' }).resolver
    for (let index = 0; index < 100; index++) strict.resolve(`stranger-${index}`)
    expect(strict.resolve('a')).toBe('a')
  })

  test('one under way holds its place, and gives it back when it was refused', () => {
    const { resolver } = place({ max: 2 })
    resolver.enter(['a'])
    expect(outcome(() => resolver.resolve('b'))).toBe('TENANT_DENIED')
    expect(
      outcome(() => {
        resolver.enter(['b'])
        return 'entered'
      }),
    ).toBe('TENANT_DENIED')
    resolver.leave(['a'], false)
    expect(resolver.tenantCount).toBe(1)
    expect(resolver.resolve('b')).toBe('b')
  })

  test('a tenant of two requests under way takes one place, and keeps it when either was accepted', () => {
    for (const outcomes of [
      [true, false],
      [false, true],
      [true, true],
    ]) {
      const { resolver } = place()
      resolver.enter(['a'])
      resolver.enter(['a'])
      expect(resolver.tenantCount).toBe(2)
      for (const isAccepted of outcomes) resolver.leave(['a'], isAccepted)
      expect(resolver.tenantCount).toBe(2)
    }
  })

  test('the one used longest ago is forgotten after ten minutes, when another needs its place', () => {
    const { resolver, accept, pass } = place({ max: 3 })
    accept('a')
    accept('b')
    pass(TENANT_IDLE_MS - 1)
    accept('a')
    expect(outcome(() => resolver.resolve('c'))).toBe('TENANT_DENIED')
    pass(1)
    accept('c')
    expect(resolver.tenantCount).toBe(3)
    expect(outcome(() => resolver.resolve('b'))).toBe('TENANT_DENIED')
    expect([resolver.resolve('a'), resolver.resolve('c')]).toEqual(['a', 'c'])
  })

  test('one that still holds something is not forgotten', () => {
    const active = new Set(['a'])
    const { resolver, accept, pass } = place({ max: 2 }, { isActive: (tenant) => active.has(tenant) })
    accept('a')
    pass(TENANT_IDLE_MS)
    expect(outcome(() => resolver.resolve('b'))).toBe('TENANT_DENIED')
    active.clear()
    accept('b')
    expect(resolver.tenantCount).toBe(2)
  })

  test('the default tenant has one always, which it shares with nobody', () => {
    const { resolver, accept } = place({ max: 1 })
    accept('default')
    expect([resolver.resolve(undefined), resolver.tenantCount]).toEqual(['default', 1])
  })
})

describe('first keys', () => {
  const names = (count: number, prefix: string): string[] =>
    Array.from({ length: count }, (_, index) => `${prefix}-${index}`)

  test('so many tenants get them at once, then so many a second; all of a request or none', () => {
    let nowMs = 0
    const clock: Clock = { nowMs: () => nowMs, nowNs: () => 0n, monotonicMs: () => nowMs }
    const resolver = new TenantResolver(tenantDefaults, { clock, hasKeys: (tenant) => tenant === 'old' })
    const mayLoad = (tenants: string[]): string | undefined =>
      outcome(() => {
        resolver.mayLoad(tenants)
        return 'may'
      })
    expect(mayLoad(names(NEW_TENANTS_MAX - 10, 'a'))).toBe('may')
    expect(mayLoad(names(11, 'b'))).toBe('OVERLOADED')
    expect(mayLoad([...names(10, 'b'), ...names(10, 'b')])).toBe('may')
    expect(mayLoad(['one'])).toBe('OVERLOADED')
    expect(mayLoad(['old', 'default'])).toBe('may')
    nowMs += 1_000
    expect(mayLoad(names(NEW_TENANTS_PER_SECOND, 'c'))).toBe('may')
    expect(mayLoad(['one'])).toBe('OVERLOADED')
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
