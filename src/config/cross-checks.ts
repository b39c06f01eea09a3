import type { PipelineConfig, ProcessorConfig, SidecarConfig } from './schema.ts'
import { didYouMean } from './suggestion.ts'
import { type Origin, originBelow, type Problem, problemAt, type Tree } from './tree.ts'

interface Checked {
  readonly config: SidecarConfig
  readonly tree: Tree
  readonly problems: Problem[]
  readonly warnings: Problem[]
}

const KINDS = ['receivers', 'processors', 'exporters'] as const

/** What no single setting can know: whether the parts fit together. */
export function checkTogether(checked: Checked): void {
  const { config, tree, problems } = checked
  const { pipelines } = config.service
  if (pipelines.size === 0) {
    const path = ['service', 'pipelines']
    problems.push(
      problemAt(path.join('.'), originBelow(tree, path), 'must hold at least one of traces, logs, metrics'),
    )
  }
  for (const [signal, pipeline] of pipelines) checkPipeline(checked, signal, pipeline)
  checkUnused(checked)
  checkAddresses(checked)
  checkFiles(checked)
  checkRoom(checked)
  checkKeys(checked)
}

function checkKeys(checked: Checked): void {
  const { kms, storage, processors } = checked.config
  if (kms.replicas.length > 0 && kms.provider !== 'aws') {
    report(checked, ['kms', 'replicas'], 'is for kms.provider: aws only')
  }
  for (const [id, processor] of processors) {
    if (processor.type !== 'pii' || !processor.tenantSecret || storage.enabled) continue
    report(
      checked,
      ['processors', id, 'tenant_secret'],
      'needs storage: without it the secret, and all it seals, ends with the process',
    )
  }
}

function checkPipeline(checked: Checked, signal: string, pipeline: PipelineConfig): void {
  const base = ['service', 'pipelines', signal]
  for (const kind of KINDS) {
    const declared = checked.config[kind]
    const path = [...base, kind]
    const ids = pipeline[kind]
    if (ids.length === 0 && kind !== 'processors') report(checked, path, 'must name at least one')
    for (const [index, id] of ids.entries()) {
      const item = [...path, String(index)]
      if (!declared.has(id))
        report(checked, item, `names what ${kind} does not declare${didYouMean(id, declared.keys())}`)
      if (ids.indexOf(id) !== index) report(checked, item, 'is named twice')
    }
  }
  checkProcessors(checked, signal, pipeline)
}

function checkProcessors(checked: Checked, signal: string, pipeline: PipelineConfig): void {
  const path = ['service', 'pipelines', signal, 'processors']
  const types = pipeline.processors.map(
    (id): ProcessorConfig['type'] | undefined => checked.config.processors.get(id)?.type,
  )
  for (const type of ['pii', 'signing'] as const) {
    const count = types.filter((found) => found === type).length
    if (count > 1) report(checked, path, `must not hold more than one ${type} processor`)
  }
  const pii = types.indexOf('pii')
  const signing = types.indexOf('signing')
  if (signing >= 0 && signal !== 'traces') {
    report(checked, [...path, String(signing)], 'signs spans only; take it out of this pipeline')
  }
  if (signing >= 0 && pii > signing) {
    report(
      checked,
      [...path, String(signing)],
      'must come after pii: a signature covers what is exported, which is sealed',
    )
  }
  if (pii < 0) {
    const message = `has no pii processor: personal data in ${signal} is exported as it came`
    checked.warnings.push(problemAt(pathText(path), originBelow(checked.tree, path), message))
  }
}

function checkUnused(checked: Checked): void {
  const { config, tree } = checked
  for (const kind of KINDS) {
    const used = new Set([...config.service.pipelines.values()].flatMap((pipeline) => pipeline[kind]))
    for (const id of config[kind].keys()) {
      if (used.has(id)) continue
      checked.warnings.push(
        problemAt(`${kind}.${id}`, originBelow(tree, [kind, id]), 'is in no pipeline and will not start'),
      )
    }
  }
}

// Two listeners on one port fail at start with an error that names neither setting.
function checkAddresses(checked: Checked): void {
  const { config } = checked
  const seen = new Map<string, string>()
  const listeners: { path: string[]; host: string; port: number }[] = []
  for (const [id, { grpc, http }] of config.receivers) {
    const protocols = ['receivers', id, 'protocols']
    if (grpc) listeners.push({ path: [...protocols, 'grpc', 'endpoint'], ...grpc.endpoint })
    if (http) listeners.push({ path: [...protocols, 'http', 'endpoint'], ...http.endpoint })
  }
  listeners.push({ path: ['service', 'admin', 'endpoint'], ...config.service.admin.endpoint })
  for (const { path, host, port } of listeners) {
    if (port === 0) continue
    const address = JSON.stringify([host, port])
    const other = seen.get(address)
    if (other !== undefined) report(checked, path, `is the same address as ${other}`)
    else seen.set(address, pathText(path))
  }
}

// Two file exporters on one path would interleave lines and rotate each other's file away.
function checkFiles(checked: Checked): void {
  const seen = new Map<string, string>()
  for (const [id, exporter] of checked.config.exporters) {
    if (exporter.type !== 'file') continue
    const path = ['exporters', id, 'path']
    const other = seen.get(exporter.path)
    if (other !== undefined) report(checked, path, `is the same file as ${other}`)
    else seen.set(exporter.path, pathText(path))
  }
}

// A request that is larger than all the room there is would be refused retryably, for ever.
function checkRoom(checked: Checked): void {
  const { receivers, service, storage } = checked.config
  const sizes = [...receivers.values()].flatMap(({ grpc, http }) => [
    grpc?.requestBytesMax ?? 0,
    http?.requestBytesMax ?? 0,
  ])
  const largest = Math.max(0, ...sizes)
  const message = `must have room for the largest request that a receiver takes (${largest / 2 ** 20} MiB)`
  if (service.limits.inFlightBytesMax < largest)
    report(checked, ['service', 'limits', 'in_flight_mib'], message)
  if (storage.enabled && storage.queueBytesMax < largest)
    report(checked, ['storage', 'queue_bytes_max'], message)
}

function report(checked: Checked, path: readonly string[], message: string): void {
  const origin: Origin = originBelow(checked.tree, path)
  checked.problems.push(problemAt(pathText(path), origin, message))
}

function pathText(path: readonly string[]): string {
  return path.reduce(
    (text, step) => (/^\d+$/.test(step) ? `${text}[${step}]` : text === '' ? step : `${text}.${step}`),
    '',
  )
}
