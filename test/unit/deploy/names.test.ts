// Every name that a page, the compose file or the Terraform module gives an operator is one that the sidecar knows.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { ERRORS } from '../../../src/base/errors.ts'
import { environmentName, SEED_NAMES } from '../../../src/config/legacy-names.ts'
import { type LoadedConfig, loadConfig } from '../../../src/config/load.ts'
import { KMS_PROVIDERS } from '../../../src/config/read-kms.ts'
import { FAULT_REASONS } from '../../../src/wire/faults.ts'
import { filesUnder, ROOT, text } from './operations-files.ts'
import { ALL_PAGES, blocksOf, OPERATORS_PAGES } from './pages.ts'

/** Read by us without being a setting's name, or put by the reader into `${env:…}`. */
const OUR_VARIABLES = ['ADMIN_TOKEN', 'REVEAL_TOKEN', 'OTLP_TOKEN', 'NODE_ENV', 'BETRACE_CONFIG']
/** Read by AWS's SDK and command, by Node, by an application's SDK, by Grafana, by `docker build`. */
const OTHERS_VARIABLES = [
  'AWS_PROFILE',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
  'AWS_ENDPOINT_URL',
  'AWS_DEFAULT_REGION',
  'UV_THREADPOOL_SIZE',
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'GF_AUTH_ANONYMOUS_ENABLED',
  'GF_AUTH_ANONYMOUS_ORG_ROLE',
  'KMS_PACKAGES',
]
/** In commands that set or explain them. */
const SHELL_VARIABLES = [
  'BETRACE_OUTAGE_SECONDS',
  'ROLE_ARN',
  'PRINCIPAL_ID',
  'VAULT_ID',
  'KEY_ID',
  'POLICY_ARN',
  'REPLICA_REGION',
]
/** Words of others that only look like variables. */
const CONSTANTS = [
  ...['AES_256', 'SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT', 'SIGN_VERIFY', 'ECC_NIST_P256'],
  ...['ECC_NIST_EDWARDS25519', 'PERMISSION_DENIED', 'FAILED_PRECONDITION', 'NOT_FOUND', 'INVALID_ARGUMENT'],
  ...['RESOURCE_EXHAUSTED', 'DEADLINE_EXCEEDED', 'O_DSYNC', 'O_WRONLY'],
  ...['AWS_KMS_SETUP', 'KMS_TROUBLESHOOTING', 'KMS_QUICKSTART'], // pages of earlier versions
]

const KNOWN = new Set([
  ...[...SEED_NAMES.keys()].map(environmentName),
  ...Object.keys(ERRORS),
  ...FAULT_REASONS,
  ...OUR_VARIABLES,
  ...OTHERS_VARIABLES,
  ...SHELL_VARIABLES,
  ...CONSTANTS,
])

const ROOTS = ['receivers', 'tenants', 'kms', 'processors', 'storage', 'exporters', 'service']
const PROPERTY_ROOTS = [...new Set([...SEED_NAMES.keys()].map((name) => name.split('.')[0]!))]
/** Starts as a setting does and is a host. */
const HOSTS = ['kms.amazonaws.com']

async function load(yaml: string, properties = ''): Promise<LoadedConfig> {
  const folder = await mkdtemp(join(tmpdir(), 'betrace-pages-'))
  try {
    await writeFile(join(folder, 'page.yaml'), yaml)
    await writeFile(join(folder, 'page.properties'), properties)
    return await loadConfig({
      files: [join(ROOT, 'collector-config.yaml'), join(folder, 'page.yaml')],
      properties: [join(folder, 'page.properties')],
      sets: [],
      env: {},
      cwd: folder,
    })
  } finally {
    await rm(folder, { recursive: true })
  }
}

describe('settings', () => {
  const blocks = OPERATORS_PAGES.flatMap(blocksOf)
  const fences = blocks.filter(({ info }) => info === 'yaml')
  const propertyFences = blocks.filter(({ info }) => info === 'properties')
  let settings: readonly string[]

  beforeAll(async () => {
    settings = pathsOf((await load('{}')).effective)
  })

  test.each(fences.map((block) => [`${block.page}:${block.line}`, block] as const))(
    'the YAML of %s is configuration that the sidecar takes',
    async (_, { content }) => {
      const { problems, warnings } = await load(content)
      expect(problems).toEqual([])
      expect(warnings).toEqual([])
    },
  )

  test.each(propertyFences.map((block) => [`${block.page}:${block.line}`, block] as const))(
    'the properties of %s are ones that the sidecar takes',
    async (_, { content }) => {
      expect((await load('{}', content)).problems).toEqual([])
    },
  )

  test('a comment behind a property is part of its value, as the corrections say', async () => {
    const { problems } = await load('{}', 'kms.cache.private-key-ttl-minutes=120  # Increase from 60\n')
    expect(problems).toMatchObject([
      { message: expect.stringContaining('must be a whole number of minutes') },
    ])
  })

  test('there is YAML for every key service', () => {
    const providers = fences.map(({ content }) => /^ {2}provider: (\w+)$/m.exec(content)?.[1])
    expect(new Set(providers.filter((name) => name !== undefined))).toEqual(new Set(KMS_PROVIDERS))
  })

  test.each(OPERATORS_PAGES)('every setting and property that %s names in its text exists', (page) => {
    const unknown = [...text(page).matchAll(/`([a-z_]+(?:\.[a-z0-9_*-]+)+)(?:[:=][^`]*)?`/g)]
      .map(([, name]) => name!)
      .filter((name) => [...ROOTS, ...PROPERTY_ROOTS].includes(name.split('.')[0]!))
      .filter((name) => !HOSTS.includes(name) && !SEED_NAMES.has(name) && !isSetting(name))
      .filter((name) => !/^betrace\.(?:key|tenant|hcl)\b/.test(name)) // attributes, and a file
    expect(unknown).toEqual([])
  })

  test.each(OPERATORS_PAGES)(
    'every short `name: value` in the text of %s is the end of a setting',
    (page) => {
      const prose = text(page).replaceAll(/^```[\s\S]*?^```$/gm, '')
      const ends = new Set(settings.flatMap((path) => path.split('.')))
      const unknown = [...prose.matchAll(/`([a-z]+(?:_[a-z]+)+): [^`]*`/g)]
        .map(([, name]) => name!)
        .filter((name) => !ends.has(name))
      expect(unknown).toEqual([])
    },
  )

  /** A setting, or what several have in common. */
  function isSetting(name: string): boolean {
    const pattern = name.replaceAll('.', '\\.').replaceAll('*', '[^.]*')
    return settings.some((path) => new RegExp(`^${pattern}(?:\\.|$)`).test(path))
  }
})

describe('the table of names', () => {
  // What the cache and the rotation are called in the environment is a rule beside their table.
  const rows = [...text('docs/setup/aws.md').matchAll(/^\| `(kms\.\S+)` \| `(\S+)` \|(?: `(\S+)` \|)?$/gm)]

  test('has every property of the AWS tutorial', () => {
    const wanted = [...SEED_NAMES.keys()].filter((name) => /^(?:betrace\.kms|aws\.kms|kms)\./.test(name))
    expect(rows.map(([, , property]) => property).sort()).toEqual(wanted.sort())
  })

  test('says of each what the loader makes of it', () => {
    for (const [, setting, property, variable] of rows) {
      expect(SEED_NAMES.get(property!)!.path.join('.'), property).toBe(setting)
      if (variable !== undefined) expect(environmentName(property!), property).toBe(variable)
    }
  })
})

describe('variables', () => {
  const files = [
    ...ALL_PAGES,
    ...filesUnder('deploy/docker', '.yaml'),
    ...filesUnder('deploy/kubernetes', '.yaml'),
    ...filesUnder('deploy/terraform', '.tf'),
  ]

  test.each(files)('every variable that %s names is one that somebody reads', (file) => {
    const names = text(file).match(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b/g) ?? []
    expect(names.filter((name) => !KNOWN.has(name))).toEqual([])
  })

  test('those that are no setting stand in the source', () => {
    const source = [...filesUnder('src', '.ts'), 'src/launch.js', 'collector-config.yaml', 'Dockerfile']
      .map(text)
      .join('\n')
    for (const name of ['ADMIN_TOKEN', 'REVEAL_TOKEN', 'NODE_ENV', 'BETRACE_CONFIG', 'KMS_PACKAGES'])
      expect(source, name).toMatch(new RegExp(`\\b${name}\\b`))
  })

  test('a misspelt one would be found', () => {
    for (const name of ['KMS_CACHE_MAX_ENTRIES', 'KMS_CACHE_PRIVATE_TTL', 'AWS_REGION_KMS'])
      expect(KNOWN).not.toContain(name)
  })
})

/** Every path of nested maps, inner nodes included. */
function pathsOf(map: ReadonlyMap<string, unknown>): string[] {
  return [...map].flatMap(([name, value]) => [
    name,
    ...(value instanceof Map ? pathsOf(value).map((path) => `${name}.${path}`) : []),
  ])
}
