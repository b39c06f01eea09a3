// Sources, weakest first: defaults, --config files in their order, --properties files, environment variables of the
// seeds' names, --set. A later source wins; within one, maps merge and lists replace.
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { checkTogether } from './cross-checks.ts'
import type { Environment } from './environment.ts'
import { readEnvironmentNames } from './legacy-names.ts'
import { readOverride } from './overrides.ts'
import { readProperties } from './properties.ts'
import { readExporters } from './read-exporters.ts'
import { readKms } from './read-kms.ts'
import { readProcessors } from './read-processors.ts'
import { readReceivers, readTenants } from './read-receivers.ts'
import { readService, readStorage } from './read-service.ts'
import type { KmsConfig, SidecarConfig } from './schema.ts'
import { type Effective, type Findings, Section } from './section.ts'
import { mergeTrees, type Origin, type Problem, problemAt, type Tree } from './tree.ts'
import { readYaml } from './yaml-source.ts'

export interface ConfigSources {
  /** Paths of YAML files, relative to `cwd`. */
  readonly files: readonly string[]
  /** `a.b.c=value` each. */
  readonly sets: readonly string[]
  readonly env: Environment
  readonly cwd: string
  /** True: `env` only fills in `${env:…}` of the files, and sets nothing by a name of its own. */
  readonly isEnvironmentForReferences?: boolean
  /** Paths of Java properties files with the seeds' names. */
  readonly properties?: readonly string[]
}

export interface LoadedConfig {
  /** `undefined` exactly when there are problems: half a configuration never starts anything. */
  readonly config: SidecarConfig | undefined
  /** Every setting with its value, defaults included, under the names of the YAML file. For `printConfig`. */
  readonly effective: Effective
  /** All of them, in the order of the files. */
  readonly problems: readonly Problem[]
  /** What is legal and perhaps not meant. */
  readonly warnings: readonly Problem[]
}

/**
 * Reads, merges and checks a configuration. Never rejects for what an operator wrote; that is a problem in the answer.
 * Takes no AbortSignal: it reads a few local files once, at start.
 */
export async function loadConfig(sources: ConfigSources): Promise<LoadedConfig> {
  const findings: Findings = { problems: [], warnings: [] }
  const root = await readRoot(sources, findings)
  if (root === undefined) return { config: undefined, effective: new Map(), ...findings }
  const config = readAll(root.section, sources)
  checkTogether({ config, tree: root.tree, ...findings })
  const isGood = findings.problems.length === 0
  return { config: isGood ? config : undefined, effective: root.section.effective, ...findings }
}

/** What opens the key service of a configuration. */
export type KmsSettings = Pick<SidecarConfig, 'kms' | 'storage'>

export interface LoadedKmsSettings extends Pick<LoadedConfig, 'problems' | 'warnings'> {
  /** `undefined` exactly when there are problems. */
  readonly config: KmsSettings | undefined
}

/**
 * The key service of a configuration, and the storage folder, where a local key file may be. The files may hold no more than
 * that; what else they hold is not looked at. That they name no key service is a problem. Otherwise as `loadConfig`.
 */
export async function loadKmsSettings(sources: ConfigSources): Promise<LoadedKmsSettings> {
  const findings: Findings = { problems: [], warnings: [] }
  const root = await readRoot(sources, findings)
  if (root === undefined) return { config: undefined, ...findings }
  const { tree, section } = root
  if (tree.kind !== 'map' || !tree.entries.has('kms'))
    findings.problems.push(problemAt('kms', tree.origin, 'is missing: the files name no key service'))
  const config = { kms: readKmsOf(section, sources), storage: section.section('storage', readStorage) }
  return { config: findings.problems.length === 0 ? config : undefined, ...findings }
}

/** All sources as one tree; `undefined` where one cannot be read. */
async function readRoot(
  sources: ConfigSources,
  findings: Findings,
): Promise<{ readonly tree: Tree; readonly section: Section } | undefined> {
  const trees: Tree[] = []
  for (const file of sources.files)
    await addFile(file, (text) => readYaml(text, file, sources.env, findings.problems))
  for (const file of sources.properties ?? [])
    await addFile(file, (text) => readProperties(text, file, findings))
  if (sources.isEnvironmentForReferences !== true) add(readEnvironmentNames(sources.env, findings))
  for (const set of sources.sets) add(readOverride(set, findings.problems))

  // Without a source that cannot be read, everything it declares would look missing.
  if (findings.problems.some((problem) => problem.path === '')) return undefined

  const origin: Origin = { file: sources.files.at(-1) ?? '', line: 0, column: 0 }
  const tree = trees.reduce<Tree>(mergeTrees, { kind: 'map', entries: new Map(), origin })
  return { tree, section: new Section('', tree, origin, findings) }

  function add(tree: Tree | undefined): void {
    if (tree) trees.push(tree)
  }

  async function addFile(file: string, read: (text: string) => Tree | undefined): Promise<void> {
    try {
      add(read(await readFile(resolve(sources.cwd, file), 'utf8')))
    } catch (error) {
      findings.problems.push(
        problemAt('', { file, line: 0, column: 0 }, `cannot be read: ${fileMistake(error)}`),
      )
    }
  }
}

function readAll(root: Section, sources: ConfigSources): SidecarConfig {
  const config: SidecarConfig = {
    receivers: root.section('receivers', readReceivers),
    tenants: root.section('tenants', readTenants),
    kms: readKmsOf(root, sources),
    processors: root.section('processors', readProcessors),
    storage: root.section('storage', readStorage),
    exporters: root.section('exporters', readExporters),
    service: root.section('service', readService),
  }
  root.close()
  return config
}

function readKmsOf(root: Section, sources: ConfigSources): KmsConfig {
  return root.section('kms', (kms) => readKms(kms, sources.env))
}

const FILE_MISTAKES: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'there is no such file'],
  ['EACCES', 'permission denied'],
  ['EISDIR', 'it is a folder'],
])

function fileMistake(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return FILE_MISTAKES.get(code) ?? (code || 'unknown error')
}
