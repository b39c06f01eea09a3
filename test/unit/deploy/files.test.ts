import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../../src/config/load.ts'
import { KEY_PURPOSES } from '../../../src/formats/key-context.ts'
import { KMS_CLASSES, type KmsClass, KmsError } from '../../../src/kms/kms.ts'
import {
  alertRules,
  anchorsOf,
  compose,
  dashboard,
  filesUnder,
  type Policy,
  ROOT,
  text,
} from './operations-files.ts'

describe('alerts', () => {
  test('each has a severity, a summary, a description and a runbook section that exists', () => {
    for (const { alert, labels, annotations } of alertRules()) {
      expect(['critical', 'warning', 'info'], alert).toContain(labels.severity)
      expect(annotations.summary, alert).toBeTruthy()
      expect(annotations.description, alert).toBeTruthy()
      expectSection(annotations.runbook_url!, alert)
    }
  })

  test('those of the contract are there', () => {
    const names = alertRules().map(({ alert }) => alert)
    for (const name of ['OperationFailures', 'HighLatency', 'CacheHitRateLow', 'KeyRotationOverdue'])
      expect(names).toContain(`KMS${name}`)
    expect(names).toEqual(expect.arrayContaining(['KMSCircuitBreakerOpen', 'KMSHighAPIUsage']))
  })

  test('each is tested to fire and to resolve', () => {
    const cases = text('deploy/prometheus/betrace-alerts.test.yaml')
    for (const { alert } of alertRules()) {
      const quiet = cases.match(new RegExp(`\\{ eval_time: \\S+, alertname: ${alert} \\}`, 'g')) ?? []
      expect(cases, alert).toMatch(new RegExp(`alertname: ${alert}\\s+exp_alerts`))
      expect(quiet.length, alert).toBeGreaterThanOrEqual(1)
    }
  })
})

describe('errors lead to the runbook', () => {
  test.each(Object.keys(KMS_CLASSES) as KmsClass[])('%s has a section', (kmsClass) => {
    expectSection(new KmsError(kmsClass, 'decrypt', '').runbook, kmsClass)
  })
})

describe('dashboard', () => {
  const { uid, panels, templating } = dashboard()

  test('has the uid that runbooks name, and panels with ids of their own', () => {
    expect(uid).toBe('kms-operations')
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  })

  test('no two panels overlap, and none is wider than the page', () => {
    const overlaps = panels.flatMap(({ title, gridPos: a }, index) =>
      panels
        .slice(index + 1)
        .filter(({ gridPos: b }) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h)
        .map((other) => `${title} / ${other.title}`),
    )
    expect(overlaps).toEqual([])
    for (const { gridPos } of panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24)
  })

  test('what a person on call reads first comes first', () => {
    const order = [...panels].sort((a, b) => a.gridPos.y - b.gridPos.y || a.gridPos.x - b.gridPos.x)
    expect(order.slice(0, 5).map(({ title }) => title)).toEqual([
      'Is it working?',
      'Answering',
      'Calls that fail',
      'Circuit breakers',
      'Requests refused',
    ])
  })

  test('variables that expressions use are declared', () => {
    const declared = new Set(templating.list.map(({ name }) => name))
    const used = JSON.stringify(panels).matchAll(/\$\{?(\w+)/g)
    for (const [, name] of used) if (!name!.startsWith('__')) expect(declared).toContain(name)
  })
})

describe('image', () => {
  const dockerfile = text('Dockerfile')

  test('its configuration is made of files that it copies, and others can reach it', async () => {
    const files = /BETRACE_CONFIG=(\S+)/.exec(dockerfile)![1]!.split(':')
    const copied = new Map([
      ['/etc/betrace/collector-config.yaml', 'collector-config.yaml'],
      ['/etc/betrace/container.yaml', 'deploy/docker/container.yaml'],
    ])
    for (const source of copied.values()) expect(dockerfile).toMatch(new RegExp(`^COPY .*${source}`, 'm'))
    const { config, problems } = await loadConfig({
      files: files.map((file) => join(ROOT, copied.get(file)!)),
      sets: [],
      env: {},
      cwd: ROOT,
    })
    expect(problems).toEqual([])
    expect(config!.service.admin.endpoint.host).toBe('0.0.0.0')
    expect(config!.storage.directory).toMatch(/^\/var\/lib\/betrace\//)
  })

  test('is started with what the launcher would start it a second time for', () => {
    const launcher = text('src/launch.js')
    const flags = JSON.parse(/LEAN_FLAGS = (\[.*\])/.exec(launcher)![1]!.replaceAll("'", '"')) as string[]
    const entry = JSON.parse(/^ENTRYPOINT (\[.*\])$/m.exec(dockerfile)![1]!) as string[]
    expect(entry).toEqual(['node', ...flags, '/app/dist/main.js'])
    const arenas = /MALLOC_ARENA_MAX: '(\d)'/.exec(launcher)![1]!
    expect(dockerfile).toMatch(new RegExp(`^ *MALLOC_ARENA_MAX=${arenas} `, 'm'))
  })

  test('how to run it names every variable without which parts of it stay shut', () => {
    const comment = dockerfile.slice(0, dockerfile.indexOf('FROM '))
    for (const name of ['ADMIN_TOKEN', 'BETRACE_KMS_PROVIDER', 'AWS_KMS_MASTER_KEY_ID'])
      expect(comment).toContain(`-e ${name}=`)
  })

  test('runs as a number that is not root, and asks for liveness', () => {
    expect(dockerfile).toMatch(/^USER [1-9]\d*:[1-9]\d*$/m)
    expect(dockerfile).toMatch(/^HEALTHCHECK .*\\\n.*\/q\/health\/live/m)
  })
})

describe('compose', () => {
  test('every file it mounts or builds from is there', () => {
    for (const { volumes = [], build } of Object.values(compose().services)) {
      const sources = volumes.filter(({ type }) => type === 'bind').map(({ source }) => source)
      const context = build === undefined ? [] : [join(build.context, 'Dockerfile')]
      for (const path of [...sources, ...context])
        expect(existsSync(join(ROOT, 'deploy/docker', path)), path).toBe(true)
    }
  })
})

describe('IAM policy', () => {
  const policy = JSON.parse(text('deploy/terraform/aws-kms/iam-policy.json')) as Policy
  const statements = policy.Statement

  test('allows exactly what the sidecar calls, and every purpose it has', () => {
    expect(statements.flatMap(({ Action }) => Action).sort()).toEqual([
      'kms:Decrypt',
      'kms:DescribeKey',
      'kms:Encrypt',
      'kms:GenerateDataKey',
    ])
    const purposes = statements[0]!.Condition!.StringEquals!['kms:EncryptionContext:purpose']
    expect([...purposes!].sort()).toEqual([...KEY_PURPOSES].sort())
  })

  test('binds use to the context and nothing to a service host', () => {
    const condition = JSON.stringify(statements[0]!.Condition)
    expect(condition).toContain('kms:EncryptionContext:tenantId')
    expect(text('deploy/terraform/aws-kms/iam-policy.json')).not.toContain('ViaService')
    for (const { Resource } of statements) expect(Resource).toBe(['$', '{key_arn}'].join(''))
  })
})

describe('pages', () => {
  const pages = [...filesUnder('docs/runbooks', '.md'), ...filesUnder('docs/setup', '.md')]

  test.each(pages)('%s fits 80 columns', (page) => {
    expect(
      text(page)
        .split('\n')
        .filter((line) => [...line].length > 80),
    ).toEqual([])
  })

  test.each(pages)('links of %s lead somewhere', (page) => {
    for (const { target, file, anchor } of linksOf(page)) {
      expect(existsSync(join(ROOT, file)), `${page}: ${target}`).toBe(true)
      if (anchor !== undefined) expect(anchorsOf(text(file)), `${page}: ${target}`).toContain(anchor)
    }
  })

  // Who is on call has the package or the image, and no checkout.
  test.each([
    ['package', JSON.parse(text('package.json')).files],
    ['image', [...text('Dockerfile').matchAll(/^COPY (docs\S*) \/app\/\1$/gm)].map((match) => match[1]!)],
  ])('what the %s has of the pages leads only to what it has', (_what, parts: readonly string[]) => {
    const has = (file: string): boolean => parts.some((part) => file === part || file.startsWith(`${part}/`))
    const carried = filesUnder('docs', '.md').filter(has)
    expect(carried).toContain('docs/runbooks/kms-provider-failure.md')
    const lost = carried.flatMap((page) => linksOf(page).filter(({ file }) => !has(file)))
    expect(lost.map(({ target }) => target)).toEqual([])
  })
})

interface Link {
  readonly target: string
  /** Below the root. */
  readonly file: string
  readonly anchor: string | undefined
}

/** Links to files of ours. */
function linksOf(page: string): Link[] {
  return [...text(page).matchAll(/\]\(\s*([^)\s]+)\s*\)/g)].flatMap(([, target = '']) => {
    if (/^https?:/.test(target)) return []
    const [path = '', anchor] = target.split('#')
    return [{ target, file: path === '' ? page : join(dirname(page), path), anchor }]
  })
}

function expectSection(url: string, what: string): void {
  const [file, anchor] = url.split('#') as [string, string | undefined]
  expect(existsSync(join(ROOT, file)), `${what}: ${url}`).toBe(true)
  if (anchor !== undefined) expect(anchorsOf(text(file)), `${what}: ${url}`).toContain(anchor)
}
