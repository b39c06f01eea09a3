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
