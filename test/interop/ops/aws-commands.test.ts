// The pages' commands for AWS, in the order in which they stand, run by AWS's own command against an emulator.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ROOT } from '../../unit/deploy/operations-files.ts'
import { blocksOf, OPERATORS_PAGES } from '../../unit/deploy/pages.ts'
import { type Emulator, emulatorsMissing, startMoto } from '../kms/aws-emulators.ts'
import { pythonVenv } from '../kms/python-venv.ts'
import { type Finished, hasShellTools, run } from './tools.ts'

const PAGES = OPERATORS_PAGES.map((page) => ({
  page,
  commands: blocksOf(page)
    .filter(({ info }) => info === 'bash aws')
    .map(({ content }) => content),
})).filter(({ commands }) => commands.length > 0)

const TRUST = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: { Service: 'ec2.amazonaws.com' }, Action: 'sts:AssumeRole' }],
})

/** What an account has before a page is followed; the page on setting up makes the key itself. */
const ACCOUNT = `
export KEY=$(aws kms create-key --query KeyMetadata.Arn --output text)
export ROLE_ARN=$(aws iam create-role --role-name betrace-sidecar --query Role.Arn --output text \\
  --assume-role-policy-document "$TRUST")
`

/**
 * Programs that look at the network, which a test has none of. What the emulator cannot do is checked in form, and where
 * it stumbles over a key's ARN it gets the id.
 */
const STUBS: Readonly<Record<string, string>> = {
  getent: 'echo 192.0.2.1 "$2"',
  curl: 'echo 403 0.01s',
  aws: `case "$*" in
    *key-deletion*|*enable-key\\ *) set -- $(echo "$@" | sed 's|arn:[^ ]*:key/||') ;;
    *simulate-principal-policy*|*create-vpc-endpoint*) set -- "$@" --generate-cli-skeleton output ;;
  esac
  exec "$AWS_PYTHON" -m awscli "$@"`,
}

describe.skipIf(emulatorsMissing !== undefined || !hasShellTools())('commands for AWS', () => {
  let moto: Emulator
  let folder: string
  let python: string

  beforeAll(async () => {
    moto = await startMoto()
    python = join(await pythonVenv('awscli', ['awscli==1.45.11']), 'bin/python')
    folder = mkdtempSync(join(tmpdir(), 'betrace-aws-'))
    mkdirSync(join(folder, 'bin'))
    for (const [name, script] of Object.entries(STUBS)) {
      writeFileSync(join(folder, 'bin', name), `#!/bin/sh\n${script}\n`)
      chmodSync(join(folder, 'bin', name), 0o755)
    }
    mkdirSync(join(folder, 'deploy/terraform/aws-kms'), { recursive: true })
    const policy = 'deploy/terraform/aws-kms/iam-policy.json'
    writeFileSync(join(folder, policy), readFileSync(join(ROOT, policy)))
  }, 300_000)

  afterAll(async () => {
    await moto?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  test.each(PAGES)('$page', async ({ commands }) => {
    await fetch(`${moto.url}/moto-api/reset`, { method: 'POST' })
    // A key can only be saved from deletion when it waits for it.
    const steps = commands.map((block) =>
      block.includes('cancel-key-deletion')
        ? `aws kms schedule-key-deletion --pending-window-in-days 30 --key-id "$KEY"\n${block}`
        : block,
    )
    const done = await bash(`${ACCOUNT}${steps.join('\n')}\n
      aws kms describe-key --key-id "$KEY" --query KeyMetadata.KeyState --output text`)
    expect(done.code, `${done.stdout}\n${done.stderr}`).toBe(0)
    expect(done.stdout.trim().split('\n').at(-1)).toBe('Enabled')
    if (!commands.some((block) => block.includes('put-role-policy'))) return
    const put = await bash(
      'aws iam get-role-policy --role-name betrace-sidecar --policy-name betrace-kms --query PolicyDocument',
    )
    const { Statement } = JSON.parse(put.stdout) as { Statement: readonly { readonly Resource: string }[] }
    for (const { Resource } of Statement) expect(Resource).toMatch(/^arn:aws:kms:eu-west-1:\d+:key\/.+/)
  })

  /** Stops at the first command that fails, in a pipe too. */
  function bash(commands: string): Promise<Finished> {
    const env = {
      PATH: `${join(folder, 'bin')}:${process.env.PATH}`,
      HOME: folder, // no profile of yours
      TRUST,
      AWS_PYTHON: python,
      AWS_ENDPOINT_URL: moto.url,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_DEFAULT_REGION: 'eu-west-1',
      AWS_MAX_ATTEMPTS: '1',
    }
    return run('bash', ['-c', `set -eu -o pipefail\n${commands}`], { cwd: folder, env })
  }
})
