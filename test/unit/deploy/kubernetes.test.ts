// What a cluster runs, held against what the sidecar takes and needs.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../../src/config/load.ts'
import {
  containersOf,
  filesUnder,
  manifests,
  type PolicyRule,
  ROOT,
  text,
  workloadOf,
} from './operations-files.ts'

const KEY_ARN = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'

describe('Kubernetes', () => {
  const files = filesUnder('deploy/kubernetes', '.yaml')

  test.each(files)('the configuration in %s is one the sidecar takes', async (file) => {
    const folder = await mkdtemp(join(tmpdir(), 'betrace-deploy-'))
    try {
      await writeFile(join(folder, 'container.yaml'), configurationIn(file))
      const { config, problems, warnings } = await loadConfig({
        files: [join(ROOT, 'collector-config.yaml'), join(folder, 'container.yaml')],
        sets: [],
        env: { ADMIN_TOKEN: 'a', OTLP_TOKEN: 'o', AWS_KMS_MASTER_KEY_ID: KEY_ARN },
        cwd: folder,
      })
      expect(problems).toEqual([])
      expect(config!.kms).toMatchObject({ provider: 'aws', aws: { masterKeyId: KEY_ARN } })
      expect(warnings.filter(({ path }) => !path.startsWith('exporters.file/out'))).toEqual([])
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  test.each(files)('every container of %s is locked up', (file) => {
    for (const container of containersOf(file)) {
      const { securityContext: rights, resources, name } = container
      expect(rights, name).toMatchObject({
        runAsNonRoot: true,
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        seccompProfile: { type: 'RuntimeDefault' },
      })
      expect(resources.requests.memory, name).toBeTruthy()
      expect(resources.limits.memory, name).toBeTruthy()
    }
  })

  test.each(files)(
    'the probes of %s are paths that the sidecar answers, in more time than it takes',
    (file) => {
      const betrace = containersOf(file).find(({ name }) => name === 'betrace')!
      expect(betrace.startupProbe.httpGet.path).toBe('/startupz')
      expect(betrace.livenessProbe.httpGet.path).toBe('/livez')
      expect(betrace.readinessProbe.httpGet.path).toBe('/readyz?exclude=kms')
      // Nothing outside is asked.
      expect(betrace.readinessProbe.timeoutSeconds).toBeGreaterThan(1)
    },
  )

  test.each(files)('every volume and claim of %s that is mounted is declared', (file) => {
    const { template, volumeClaimTemplates = [] } = workloadOf(file).spec
    const declared = new Set([
      ...template.spec.volumes.map(({ name }) => name),
      ...volumeClaimTemplates.map(({ metadata }) => metadata.name),
    ])
    for (const container of containersOf(file))
      for (const { name } of container.volumeMounts ?? []) expect(declared).toContain(name)
  })

  test.each(files)('%s holds no secret, and says how to make all that it does not declare', (file) => {
    const all = manifests(file)
    expect(all.map(({ kind }) => kind)).not.toContain('Secret')
    const declared = all.map(({ kind, metadata }) => `${kind} ${metadata.name}`)
    const header = text(file).slice(0, text(file).indexOf('\napiVersion'))
    const needed = [
      ...all
        .map(({ metadata }) => `Namespace ${metadata.namespace ?? ''}`)
        .filter((name) => !/ $/.test(name)),
      ...workloadOf(file).spec.template.spec.volumes.flatMap(({ configMap }) =>
        configMap === undefined ? [] : [`ConfigMap ${configMap.name}`],
      ),
      ...containersOf(file).flatMap(({ envFrom = [] }) =>
        envFrom.map(({ secretRef }) => `Secret ${secretRef.name}`),
      ),
    ]
    const commands = { Namespace: 'namespace', ConfigMap: 'configmap', Secret: 'secret generic' }
    for (const each of needed.filter((name) => !declared.includes(name))) {
      const [kind, name] = each.split(' ') as [keyof typeof commands, string]
      expect(header).toContain(`kubectl create ${commands[kind]} ${name}`)
    }
  })

  test.each(files)('the policy of %s opens the ports that its configuration uses', (file) => {
    const { ingress = [], egress = [] } = manifests(file).find(({ kind }) => kind === 'NetworkPolicy')!.spec
    const portsOf = (rules: readonly PolicyRule[]): number[] =>
      rules.flatMap(({ ports = [] }) => ports.map(({ port }) => port))
    const configuration = configurationIn(file)
    const listening = [...configuration.matchAll(/"0\.0\.0\.0:(\d+)"/g)].map(([, port]) => Number(port))
    const next = [...configuration.matchAll(/endpoint: "[a-z][\w.-]+:(\d+)"/g)].map(([, port]) =>
      Number(port),
    )
    expect(listening).toContain(8080)
    expect(portsOf(ingress)).toEqual(expect.arrayContaining(listening))
    expect(next.length).toBeGreaterThan(0)
    expect(portsOf(egress)).toEqual(expect.arrayContaining([53, 443, ...next]))
    // Whoever reaches it gets the node's role.
    for (const { to = [] } of egress)
      for (const { ipBlock } of to) if (ipBlock) expect(ipBlock.except).toContain('169.254.0.0/16')
  })

  test.each(files)('a stop of %s has more time than the sidecar takes', (file) => {
    const seconds = workloadOf(file).spec.template.spec.terminationGracePeriodSeconds
    const declared = Number(/shutdown_timeout: (\d+)s/.exec(text('collector-config.yaml'))![1])
    expect(seconds).toBeGreaterThan(declared)
  })
})

const configurationIn = (file: string): string =>
  manifests(file).find(({ kind }) => kind === 'ConfigMap')!.data['container.yaml']!
