// The files under deploy/ and docs/, read as their tools read them.
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'

export const ROOT = join(import.meta.dirname, '../../..')

export interface AlertRule {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

export const text = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

export function alertRules(): AlertRule[] {
  const file = parse(text('deploy/prometheus/betrace-alerts.yaml')) as { groups: { rules: AlertRule[] }[] }
  return file.groups.flatMap((group) => group.rules)
}

export interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly { readonly expr: string }[]
}

export interface Dashboard {
  readonly uid: string
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] }
}

export const dashboard = (): Dashboard => JSON.parse(text('deploy/grafana/kms-operations.json')) as Dashboard

/** An expression as Prometheus gets it, with Grafana's variables filled in. */
export const filledIn = (expr: string): string =>
  expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$(job|instance)\b/g, '.*')

export interface Probe {
  readonly httpGet: { readonly path: string }
  readonly timeoutSeconds?: number
}

export interface Container {
  readonly name: string
  readonly securityContext: object
  readonly resources: {
    readonly requests: { readonly memory?: string }
    readonly limits: { readonly memory?: string }
  }
  readonly startupProbe: Probe
  readonly readinessProbe: Probe
  readonly livenessProbe: Probe
  readonly volumeMounts?: readonly { readonly name: string }[]
  readonly envFrom?: readonly { readonly secretRef: { readonly name: string } }[]
}

export interface PolicyRule {
  readonly to?: readonly { readonly ipBlock?: { readonly except: readonly string[] } }[]
  readonly ports?: readonly { readonly port: number }[]
}

export interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly data: Readonly<Record<string, string>>
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly initContainers?: readonly Container[]
        readonly containers: readonly Container[]
        readonly volumes: readonly { readonly name: string; readonly configMap?: { readonly name: string } }[]
        readonly terminationGracePeriodSeconds: number
      }
    }
    readonly ingress?: readonly PolicyRule[]
    readonly egress?: readonly PolicyRule[]
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[]
  }
}

/** As written, unchecked: what is not there fails the test that reads it. The API's schemas are held against it elsewhere. */
export function manifests(path: string): Manifest[] {
  return parseAllDocuments(text(path)).map((document) => document.toJS() as Manifest)
}

export function workloadOf(path: string): Manifest {
  const found = manifests(path).find(({ kind }) => kind === 'StatefulSet' || kind === 'DaemonSet')
  if (found === undefined) throw new Error(`${path} has no workload`)
  return found
}

export function containersOf(path: string): readonly Container[] {
  const { initContainers = [], containers } = workloadOf(path).spec.template.spec
  return [...initContainers, ...containers]
}

export interface Compose {
  readonly services: Readonly<
    Record<
      string,
      {
        readonly build?: { readonly context: string }
        readonly volumes?: readonly { readonly type: string; readonly source: string }[]
      }
    >
  >
}

export const compose = (): Compose => parse(text('deploy/docker/compose.yaml')) as Compose

export interface Policy {
  readonly Statement: readonly {
    readonly Action: string | readonly string[]
    readonly Resource: string
    readonly Condition?: Readonly<Record<string, Readonly<Record<string, readonly string[] | string>>>>
  }[]
}

export function filesUnder(folder: string, ending: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .sort()
}

/** Every anchor of a page: its headings as GitHub names them, and explicit ones. */
export function anchorsOf(page: string): Set<string> {
  const anchors = new Set<string>()
  let isFenced = false
  for (const line of page.split('\n')) {
    if (line.startsWith('```')) isFenced = !isFenced
    if (isFenced) continue
    const heading = /^#+ (.*)$/.exec(line)?.[1]
    if (heading !== undefined) {
      const kept = heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      anchors.add(kept.replaceAll(' ', '-'))
    }
    const explicit = /<a id="([^"]+)">/.exec(line)?.[1]
    if (explicit !== undefined) anchors.add(explicit)
  }
  return anchors
}
