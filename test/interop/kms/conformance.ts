// One suite for every key service. A target says how its server is started and reached and how its keys are disabled,
// rotated and so on; the cases say what must hold. A case that a server cannot show is not run there, and the reason is
// printed; `everyCaseProven` then fails unless another target of the same provider has shown it.
//
//   kmsConformance('aws (moto)', motoTarget())
//   kmsConformance('aws (ministack)', ministackTarget())
//   everyCaseProven('aws')
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Kms, KmsClass } from '../../../src/kms/kms.ts'
import { CONTEXT_CASES } from './context-cases.ts'
import type { Fault, FaultProxyOptions, HttpAnswer, ProxiedRequest } from './fault-proxy.ts'
import { KEY_CASES } from './key-cases.ts'
import { NETWORK_CASES } from './network-cases.ts'

export interface OpenOptions {
  /** A master key as `createKey` named it; the target's own default key when absent. */
  readonly masterKey?: string
  /** Tenant → master key as `createKey` named it. */
  readonly tenantKeys?: ReadonlyMap<string, string>
  /** Where the server is, when it is not where `upstream` says: a proxy in front of it, or nothing that works. */
  readonly url?: string
  readonly request?: {
    readonly connectTimeoutMs: number
    readonly timeoutMs: number
    readonly attemptsMax: number
  }
}

export interface KmsTarget {
  /** `local`, `aws`, `vault`, `gcp` or `azure`. */
  readonly provider: string
  /** Case → why this server cannot show it. */
  readonly cannot: Partial<Record<CaseName, string>>
  /** Why this machine cannot run the server, such as a missing Python. Its cases are skipped then. */
  readonly missing?: string | undefined
  /** Starts the server and makes a default master key. */
  start(): Promise<void>
  stop(): Promise<void>
  /** A client of the provider under test. The suite closes it. `request` defaults to 1 s, 5 s, 3. */
  open(options: OpenOptions): Promise<Kms>
  /** A master key of its own for one case, as `OpenOptions` takes it. */
  createKey(): Promise<string>
  /** A well-formed key id that names nothing, as `unwrap` takes it. */
  unknownKey(): string
  /** The same as `open` takes it. */
  unknownKeyToOpen?(): string
  /** What must never show in an error: tokens, secret keys. */
  secrets(): readonly string[]
  /** How a fault proxy is put in front of the server. */
  upstream?(): FaultProxyOptions
  /** On layer `http`: what the service says when it throttles. */
  readonly throttledAnswer?: HttpAnswer
  /** On layer `http`: what the service says when it is broken. A bare 500 when absent. */
  readonly brokenAnswer?: HttpAnswer
  /** On layer `tcp`, where the proxy cannot answer: the server itself throttles or breaks, until the promise's function
   *  is called, or for so many calls. */
  misbehave?(how: 'throttled' | 'broken', callsMax: number): Promise<() => Promise<void>>
  disableKey?(key: string): Promise<void>
  scheduleDeletion?(key: string): Promise<void>
  /** New key material under the same key. */
  rotateKey?(key: string): Promise<void>
  /** A client whose identity may not use the default key, and how to put things back. */
  openDenied?(options: OpenOptions): Promise<{ kms: Kms; restore(): Promise<void> }>
  /** What the service does with a request from a client whose clock is off; `nowMs` is the true time. */
  clockGate?(request: ProxiedRequest, nowMs: number): Fault
  /** Where the server refuses a wrapped key of another master key by another name than its service: the class of that. */
  readonly otherKeyRefusedAs?: KmsClass
  /** A signing key inside the service, as `sign` takes it. */
  createSigningKey?(algorithm: 'ed25519' | 'p256'): Promise<string>
}

export interface Case {
  /** What is proven, for the test's name. */
  readonly claim: string
  /** The hooks without which it cannot run. */
  readonly needs?: readonly (keyof KmsTarget)[]
  readonly run: (target: KmsTarget) => Promise<void>
}

export const CASES = { ...CONTEXT_CASES, ...KEY_CASES, ...NETWORK_CASES } satisfies Record<string, Case>

export type CaseName = keyof typeof CONTEXT_CASES | keyof typeof KEY_CASES | keyof typeof NETWORK_CASES

const CASE_NAMES = Object.keys(CASES) as CaseName[] // the keys of a literal are its type's keys

interface Verdicts {
  readonly proved: Map<CaseName, string[]>
  readonly cannot: Map<CaseName, string[]>
  isMissing: boolean
}

const verdictsOf = new Map<string, Verdicts>()

/** Declares the suite for one target; `name` stands in test names and in the printed table. */
export function kmsConformance(name: string, target: KmsTarget): void {
  const verdicts = verdictsOf.get(target.provider) ?? {
    proved: new Map(),
    cannot: new Map(),
    isMissing: false,
  }
  verdictsOf.set(target.provider, verdicts)
  const note = (of: Map<CaseName, string[]>, caseName: CaseName, text: string): void => {
    of.set(caseName, [...(of.get(caseName) ?? []), text])
  }
  verdicts.isMissing ||= target.missing !== undefined
  describe.skipIf(target.missing !== undefined)(name, () => {
    beforeAll(() => target.start(), 600_000)
    afterAll(() => target.stop())
    for (const caseName of CASE_NAMES) {
      const reason = target.cannot[caseName]
      if (reason !== undefined) {
        note(verdicts.cannot, caseName, `${name}: ${reason}`)
        continue
      }
      const one: Case = CASES[caseName]
      test(`${caseName}: ${one.claim}`, async () => {
        const missing = (one.needs ?? []).filter((hook) => target[hook] === undefined)
        expect(missing, 'hooks that this target must have, or else say in `cannot` why not').toEqual([])
        await one.run(target)
        note(verdicts.proved, caseName, name)
      })
    }
  })
}

/** Declares the last test of a file: each case was shown by a target of the provider. `exempt` are cases that no server
 *  of this provider can show, with the reason. Prints the table. */
export function everyCaseProven(provider: string, exempt: Partial<Record<CaseName, string>> = {}): void {
  const { proved, cannot, isMissing } = verdictsOf.get(provider)!
  test.skipIf(isMissing)(`every case is proven by a server for ${provider}`, () => {
    const lines = CASE_NAMES.map((caseName) => {
      const by = proved.get(caseName)?.join(', ') ?? `nobody: ${exempt[caseName] ?? 'NOT PROVEN'}`
      const reasons = exempt[caseName] === undefined ? (cannot.get(caseName) ?? []) : []
      const why = reasons.map((reason) => `\n      cannot be shown on ${reason}`)
      return `  ${caseName.padEnd(24)} ${by}${why.join('')}`
    })
    console.log(`cases of ${provider} and who proved them\n${lines.join('\n')}`)
    const open = CASE_NAMES.filter((caseName) => !proved.has(caseName) && exempt[caseName] === undefined)
    expect(open).toEqual([])
    const needless = CASE_NAMES.filter((caseName) => proved.has(caseName) && exempt[caseName] !== undefined)
    expect(needless, 'cases that are exempt although a server shows them').toEqual([])
  })
}
