// Each file under deploy/, held against the tool that will read it.
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { dashboard, filesUnder, filledIn, ROOT } from '../../unit/deploy/operations-files.ts'
import { findGoProgram, findPrometheus, findPythonTools, run } from './tools.ts'

const prometheus = await findPrometheus()
const hclfmt = await findGoProgram('hclfmt')
const hcl2json = await findGoProgram('hcl2json')
const compose = await findGoProgram('compose')
const python = await findPythonTools()

describe.skipIf(prometheus === undefined)('promtool', () => {
  const { promtool } = prometheus ?? { promtool: '' }
  const inDeploy = { cwd: join(ROOT, 'deploy/prometheus') }

  test('accepts the alerts', async () => {
    const checked = await run(promtool, ['check', 'rules', 'betrace-alerts.yaml'], inDeploy)
    expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining('SUCCESS') })
  })

  test('finds that each alert fires, stays quiet and resolves as its cases say', async () => {
    const tested = await run(promtool, ['test', 'rules', 'betrace-alerts.test.yaml'], inDeploy)
    expect(tested).toMatchObject({ code: 0, stdout: expect.stringContaining('SUCCESS') })
  })

  test('accepts every expression of the dashboard', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'betrace-panels-'))
    try {
      const rules = dashboard().panels.flatMap(({ targets = [] }) =>
        targets.map(({ expr }, index) => ({ record: `panel:${index}`, expr: filledIn(expr) })),
      )
      // A rule of its own for each, so that none shadows another.
      const named = rules.map(({ expr }, index) => ({ record: `panel:${index}`, expr }))
      await writeFile(join(folder, 'panels.yaml'), stringify({ groups: [{ name: 'panels', rules: named }] }))
      const checked = await run(promtool, ['check', 'rules', join(folder, 'panels.yaml')])
      expect(checked).toMatchObject({
        code: 0,
        stdout: expect.stringContaining(`SUCCESS: ${named.length} rules`),
      })
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  test('accepts the configuration of the compose file, with the rules beside it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'betrace-prometheus-'))
    try {
      for (const file of ['docker/prometheus.yaml', 'prometheus/betrace-alerts.yaml'])
        await writeFile(
          join(folder, file.slice(file.indexOf('/') + 1)),
          readFileSync(join(ROOT, 'deploy', file)),
        )
      const checked = await run(promtool, ['check', 'config', join(folder, 'prometheus.yaml')])
      expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining('1 rule files found') })
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

describe.skipIf(python === undefined)('container tools', () => {
  test.each(filesUnder('deploy/kubernetes', '.yaml'))('%s meets the API schemas, strictly', async (file) => {
    const checked = await run(join(python!, 'python'), ['-m', 'kubernetes_validate', '--strict', file], {
      cwd: ROOT,
    })
    expect(checked.stdout + checked.stderr).not.toMatch(/ERROR|Traceback/)
    expect(checked.code, checked.stdout + checked.stderr).toBe(0)
  })

  test('hadolint has nothing to say about the Dockerfile', async () => {
    expect(existsSync(join(python!, 'hadolint'))).toBe(true)
    expect(await run(join(python!, 'hadolint'), ['Dockerfile'], { cwd: ROOT })).toMatchObject({
      code: 0,
      stdout: '',
    })
  })
})

describe.skipIf(compose === undefined)('compose', () => {
  test('compose-go loads the file', async () => {
    const loaded = await run(compose!, ['-no-interpolation', 'deploy/docker/compose.yaml'], { cwd: ROOT })
    expect(loaded.stderr).toBe('')
    expect(loaded.stdout).toMatch(/^name: betrace$/m)
    for (const service of ['sidecar', 'prometheus', 'grafana'])
      expect(loaded.stdout).toMatch(new RegExp(`^ {4}${service}:$`, 'm'))
  })
})

describe.skipIf(hclfmt === undefined || hcl2json === undefined)('Terraform', () => {
  const files = filesUnder('deploy/terraform', '.tf').map((file) => join(ROOT, file))

  test.each(files)('%s is valid HCL in canonical form', async (file) => {
    expect(await run(hclfmt!, ['-check', file])).toMatchObject({ code: 0 })
    expect((await run(hclfmt!, [file])).stdout).toBe(readFileSync(file, 'utf8'))
  })

  test('every variable, local, resource and data source that is used is declared, and every variable is used', async () => {
    const declared = new Set<string>()
    const used = new Set<string>()
    for (const file of files) {
      const { stdout, code } = await run(hcl2json!, [file])
      expect(code).toBe(0)
      // The shape in which hcl2json prints a module: blocks by type and name, `locals` as a list.
      const module = JSON.parse(stdout) as {
        variable?: object
        locals?: object[]
        resource?: Record<string, object>
        data?: Record<string, object>
      }
      for (const name of Object.keys(module.variable ?? {})) declared.add(`var.${name}`)
      for (const block of module.locals ?? [])
        for (const name of Object.keys(block)) declared.add(`local.${name}`)
      for (const [type, blocks] of Object.entries(module.resource ?? {}))
        for (const name of Object.keys(blocks)) declared.add(`${type}.${name}`)
      for (const [type, blocks] of Object.entries(module.data ?? {}))
        for (const name of Object.keys(blocks)) declared.add(`data.${type}.${name}`)
      const uses = readFileSync(file, 'utf8').matchAll(
        /\b((?:var|local)\.\w+|(?:data\.)?aws_\w+\.\w+)(?=[.[\s,)\]}"])/g,
      )
      for (const [, name] of uses) used.add(name!)
    }
    const isKnown = (name: string): boolean => declared.has(name)
    expect([...used].filter((name) => !isKnown(name) && !declared.has(`data.${name}`))).toEqual([])
    expect([...declared].filter((name) => name.startsWith('var.') && !used.has(name))).toEqual([])
  })
})
