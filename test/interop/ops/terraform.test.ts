// The Terraform module, read as Terraform reads it. What AWS makes of the policies is AWS's; what they say is held here.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { describe, expect, test } from 'vitest'
import { filesUnder, ROOT } from '../../unit/deploy/operations-files.ts'
import { findGoProgram, run } from './tools.ts'

const hclfmt = await findGoProgram('hclfmt')
const hcl2json = await findGoProgram('hcl2json')

interface Condition {
  readonly test: string
  readonly variable: string
  readonly values: readonly string[] | string
}

interface Statement {
  readonly sid: string
  readonly effect?: 'Allow' | 'Deny'
  readonly actions: readonly string[]
  readonly principals?: readonly { readonly type: string; readonly identifiers: readonly string[] }[]
  readonly condition?: readonly Condition[]
}

interface PolicyDocument {
  readonly statement?: readonly Statement[]
  readonly dynamic?: { readonly statement: readonly { readonly content: readonly Statement[] }[] }
}

/** The shape in which hcl2json prints a module: blocks by type and name, `locals` as a list. */
interface Module {
  readonly variable?: Readonly<Record<string, readonly { readonly default?: unknown }[]>>
  readonly locals?: readonly object[]
  readonly resource?: Readonly<Record<string, object>>
  readonly data?: Readonly<Record<string, object>> & {
    readonly aws_iam_policy_document?: Readonly<Record<string, readonly PolicyDocument[]>>
  }
}

const files = filesUnder('deploy/terraform', '.tf').map((file) => join(ROOT, file))

async function moduleOf(file: string): Promise<Module> {
  const { stdout, code } = await run(hcl2json!, [file])
  expect(code).toBe(0)
  return JSON.parse(stdout) as Module
}

/** Every statement of a policy, those included that a variable switches on. */
async function statementsOf(name: string): Promise<readonly Statement[]> {
  const main = await moduleOf(files.find((file) => file.endsWith('/main.tf'))!)
  const [document] = main.data!.aws_iam_policy_document![name]!
  const switched = document!.dynamic?.statement.flatMap(({ content }) => content) ?? []
  return [...(document!.statement ?? []), ...switched]
}

describe.skipIf(hclfmt === undefined || hcl2json === undefined)('Terraform', () => {
  test.each(files)('%s is valid HCL in canonical form', async (file) => {
    expect(await run(hclfmt!, ['-check', file])).toMatchObject({ code: 0 })
    expect((await run(hclfmt!, [file])).stdout).toBe(readFileSync(file, 'utf8'))
  })

  test('every variable, local, resource and data source that is used is declared, and every variable is used', async () => {
    const declared = new Set<string>()
    const used = new Set<string>()
    for (const file of files) {
      const module = await moduleOf(file)
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

  test('the key policy allows nobody but the account itself, whose IAM policies then decide', async () => {
    const allowing = (await statementsOf('key')).filter(({ effect = 'Allow' }) => effect === 'Allow')
    const root = ['$', '{local.account_root}'].join('')
    expect(allowing).toEqual([
      expect.objectContaining({ principals: [{ type: 'AWS', identifiers: [root] }] }),
    ])
  })

  test.each(['tenantId', 'purpose'])('the key policy denies everybody any use without %s', async (name) => {
    // Of its own: conditions of one statement must all hold.
    const condition = [{ test: 'Null', variable: `kms:EncryptionContext:${name}`, values: ['true'] }]
    const denying = (await statementsOf('key')).filter(
      (statement) => statement.effect === 'Deny' && isDeepStrictEqual(statement.condition, condition),
    )
    expect(denying).toEqual([
      expect.objectContaining({
        actions: ['kms:GenerateDataKey*', 'kms:Encrypt', 'kms:Decrypt', 'kms:ReEncrypt*'],
        principals: [{ type: 'AWS', identifiers: ['*'] }],
      }),
    ])
  })

  test('a role of some tenants may still use the default one, in whose name validation calls', async () => {
    const denied = (await statementsOf('use')).find(({ sid }) => sid === 'NoOtherTenants')!
    expect(denied).toMatchObject({ effect: 'Deny', condition: [{ test: 'StringNotEquals' }] })
    expect(denied.condition![0]!.values).toContain('concat(var.tenant_ids, [var.default_tenant])')
    const { variable } = await moduleOf(files.find((file) => file.endsWith('/variables.tf'))!)
    const declared = /^ {2}default: (\S+)/m.exec(readFileSync(join(ROOT, 'collector-config.yaml'), 'utf8'))
    expect(variable!.default_tenant![0]!.default).toBe(declared![1])
  })
})
