// Every command of the runbooks and setup pages that talks to the sidecar, taken from the page and run against a live
// one. A fence says who runs it: `bash` is run here, `bash aws` beside this file against an emulator; `bash operator`
// needs a cluster, a Docker daemon or another cloud, and is only parsed. A line `# → text` below a command is output
// that must come, `…` standing for anything.
import { spawn } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ROOT } from '../../unit/deploy/operations-files.ts'
import { blocksOf, OPERATORS_PAGES } from '../../unit/deploy/pages.ts'
import { ADMIN_TOKEN, Sidecar } from '../sidecar.ts'
import { type Finished, hasShellTools, run } from './tools.ts'

const BLOCK_MS_MAX = 60_000
const FENCES = new Set([
  'bash',
  'bash aws',
  'bash operator',
  'yaml',
  'yaml kubernetes',
  'properties',
  'hcl',
  'text',
])

const blocks = OPERATORS_PAGES.flatMap(blocksOf)
const runnable = blocks.filter(({ info }) => info === 'bash')

const REQUEST = {
  resourceSpans: [
    {
      scopeSpans: [
        {
          spans: [
            {
              traceId: '0af7651916cd43dd8448eb211c80319c',
              spanId: 'b7ad6b7169203331',
              name: 'pay',
              startTimeUnixNano: '1',
              endTimeUnixNano: '2',
              attributes: [
                { key: 'compliance.framework', value: { stringValue: 'hipaa' } },
                { key: 'note', value: { stringValue: 'card 4111 1111 1111 1111, ada@clinic.example' } },
              ],
            },
          ],
        },
      ],
    },
  ],
}

describe('fences', () => {
  test('say who runs them', () => {
    expect(blocks.filter(({ info }) => !FENCES.has(info))).toEqual([])
  })

  test('every command is one that bash can parse', async () => {
    for (const { page, line, info, content } of blocks.filter((block) => block.info.startsWith('bash')))
      expect(await run('bash', ['-n', '-c', content]), `${page}:${line} ${info}`).toMatchObject({ code: 0 })
  })

  test('commands for the sidecar are not hidden from this test', () => {
    const hidden = blocks.filter(
      ({ info, content }) => info !== 'bash' && /localhost:8080|\$SIDECAR|^(?:metrics|admin) /m.test(content),
    )
    expect(hidden).toEqual([])
    expect(runnable.length).toBeGreaterThan(20)
  })
})

describe.skipIf(!hasShellTools())('commands of the pages', () => {
  let sidecar: Sidecar
  let workFolder: string

  beforeAll(async () => {
    sidecar = await Sidecar.start({
      exporters: (directory) => ({ 'file/out': { path: join(directory, 'out.jsonl') } }),
    })
    const answer = await fetch(`${sidecar.httpEndpoint}/v1/traces`, {
      method: 'POST',
      body: JSON.stringify(REQUEST),
      headers: { 'content-type': 'application/json' },
    })
    expect(answer.status).toBe(200)
    workFolder = join(sidecar.directory, 'on-call')
    mkdirSync(join(workFolder, 'bin'), { recursive: true })
    copyFileSync(sidecar.configFile, join(workFolder, 'collector-config.yaml'))
    const betrace = join(workFolder, 'bin/betrace')
    writeFileSync(betrace, `#!/bin/sh\nexec '${process.execPath}' '${join(ROOT, 'src/launch.js')}' "$@"\n`)
    chmodSync(betrace, 0o755)
  })

  afterAll(async () => {
    await sidecar?.remove()
  })

  test.each(runnable.map((block) => [`${block.page}:${block.line}`, block] as const))(
    '%s',
    async (_, block) => {
      // The page's first block is the one that sets things up.
      const setup = runnable.find(({ page }) => page === block.page)!
      const commands = setup === block ? block.content : `{\n${setup.content}\n} >/dev/null\n${block.content}`
      const done = await bash(commands.replaceAll('localhost:8080', `127.0.0.1:${sidecar.ports.admin}`))
      expect(done.code, `${done.stdout}\n${done.stderr}`).toBe(0)
      for (const line of block.expected) expect(done.stdout).toMatch(patternOf(line))
    },
  )

  /** Stops at the first command that fails, in a pipe too. */
  function bash(commands: string): Promise<Finished> {
    return new Promise((resolve, reject) => {
      const child = spawn('bash', ['-c', `set -eu -o pipefail\n${commands}`], {
        cwd: workFolder,
        timeout: BLOCK_MS_MAX,
        env: {
          PATH: `${join(workFolder, 'bin')}:${process.env.PATH}`,
          HOME: workFolder,
          ADMIN_TOKEN,
          NO_COLOR: '1',
        },
      })
      let stdout = ''
      let stderr = ''
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        stdout += chunk
      })
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
        stderr += chunk
      })
      child.on('error', reject)
      child.on('close', (code) => resolve({ code: code ?? -1, stdout, stderr }))
    })
  }
})

function patternOf(expected: string): RegExp {
  const escaped = expected.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(escaped.join('.*'))
}
