import { Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import { DETECTORS } from '../../../src/detection/detectors.ts'
import { RedactionMetrics } from '../../../src/redaction/metrics.ts'
import { REDACTION_DEFAULTS } from '../../../src/redaction/options.ts'
import { PACKS } from '../../../src/redaction/packs/packs.ts'
import { compileRules } from '../../../src/redaction/rules.ts'
import { parseRules } from '../../../src/redaction/rules-parser.ts'
import { PLACE_COUNT, SURFACES } from '../../../src/redaction/surfaces.ts'

const problems = (rules: unknown): string[] =>
  parseRules(rules, 'pii.rules').problems.map(({ path, message }) => `${path}: ${message}`)
const ruleProblems = (rule: unknown): string[] => problems([rule])

describe('what an operator writes', () => {
  test.each([undefined, null, []])('%j is no rules', (raw) => {
    expect(parseRules(raw, 'pii.rules')).toEqual({ rules: [], problems: [] })
  })

  test('every form of an action is read', () => {
    const match = { key: ['k'] }
    const actions = [
      'encrypt',
      'hash',
      'mask',
      'drop',
      'keep',
      { mask: { keep_first: 2, keep_last: 4 } },
      { mask: { text: '' } },
      { encrypt: { beacon: true, beacon_bits: 24 } },
      { hash: { beacon_bits: 1 } },
    ]
    const { rules, problems: found } = parseRules(
      actions.map((action, i) => ({ name: `r${i}`, match, action })),
      'pii.rules',
    )
    expect(found).toEqual([])
    expect(rules.map(({ action }) => action)).toEqual([
      { kind: 'encrypt', hasBeacon: false, beaconBits: 128 },
      { kind: 'hash', beaconBits: 128 },
      { kind: 'mask', text: undefined, keepFirst: 0, keepLast: 0 },
      { kind: 'drop' },
      { kind: 'keep' },
      { kind: 'mask', text: undefined, keepFirst: 2, keepLast: 4 },
      { kind: 'mask', text: '', keepFirst: 0, keepLast: 0 },
      { kind: 'encrypt', hasBeacon: true, beaconBits: 24 },
      { kind: 'hash', beaconBits: 1 },
    ])
    expect(() => compileRules({ ...REDACTION_DEFAULTS, rules })).not.toThrow()
  })

  test.each<[string, unknown, string]>([
    [
      'an unknown setting',
      { name: 'r', match: { key: 'k' }, action: 'mask', colour: 1 },
      'pii.rules[0].colour',
    ],
    ['no name', { match: { key: 'k' }, action: 'mask' }, 'pii.rules[0].name'],
    [
      'a class with a dot',
      { name: 'r', match: { key: 'k' }, action: 'mask', class: 'a.b' },
      'pii.rules[0].class',
    ],
    ['no match', { name: 'r', action: 'mask' }, 'pii.rules[0].match'],
    ['a match of everything', { name: 'r', match: { tenant: ['*'] }, action: 'mask' }, 'pii.rules[0].match'],
    [
      'an unknown detector',
      { name: 'r', match: { detector: ['email', 'mail'] }, action: 'mask' },
      'pii.rules[0].match.detector[1]',
    ],
    [
      'an unknown surface',
      { name: 'r', match: { surface: ['spans'] }, action: 'mask' },
      'pii.rules[0].match.surface[0]',
    ],
    [
      'a key that is a number',
      { name: 'r', match: { key: [7] }, action: 'mask' },
      'pii.rules[0].match.key[0]',
    ],
    [
      'a pattern that does not compile',
      { name: 'r', match: { pattern: ['(a'] }, action: 'mask' },
      'pii.rules[0].match.pattern[0]',
    ],
    [
      'a back-reference',
      { name: 'r', match: { pattern: ['(a)\\1'] }, action: 'mask' },
      'pii.rules[0].match.pattern[0]',
    ],
    ['no action', { name: 'r', match: { key: 'k' } }, 'pii.rules[0].action'],
    ['an unknown action', { name: 'r', match: { key: 'k' }, action: 'seal' }, 'pii.rules[0].action'],
    [
      'two actions',
      { name: 'r', match: { key: 'k' }, action: { mask: {}, hash: {} } },
      'pii.rules[0].action',
    ],
    [
      'a beacon of 0 bits',
      { name: 'r', match: { key: 'k' }, action: { hash: { beacon_bits: 0 } } },
      'pii.rules[0].action.hash.beacon_bits',
    ],
    [
      'a beacon of 129 bits',
      { name: 'r', match: { key: 'k' }, action: { hash: { beacon_bits: 129 } } },
      'pii.rules[0].action.hash.beacon_bits',
    ],
    [
      'a text and kept characters',
      { name: 'r', match: { key: 'k' }, action: { mask: { text: 'x', keep_last: 1 } } },
      'pii.rules[0].action.mask',
    ],
    ['a rule that is a list', [], 'pii.rules[0]'],
  ])('%s is a problem with its path', (_, rule, path) => {
    expect(ruleProblems(rule).map((problem) => problem.slice(0, problem.indexOf(': ')))).toContain(path)
  })

  test('all problems are listed at once', () => {
    const raw = [
      { name: 'a', match: { key: 'k' }, action: 'x' },
      { name: 'a', match: { key: 'k' }, action: 'mask', more: 1 },
    ]
    expect(problems(raw)).toHaveLength(3)
  })

  test('a problem never repeats what was written', () => {
    expect(
      JSON.stringify(ruleProblems({ name: 'r', match: { pattern: ['(s3cret'] }, action: 's3cret' })),
    ).not.toContain('s3cret')
  })
})

test('packs, detectors and surfaces are named once and described', () => {
  for (const list of [PACKS, DETECTORS]) {
    expect(new Set(list.map(({ name }) => name)).size).toBe(list.length)
    for (const { description } of list) expect(description.length).toBeGreaterThan(10)
  }
  expect(DETECTORS.map(({ id }) => id)).toEqual(DETECTORS.map((_, index) => index))
  const places = [...SURFACES.values()].flat()
  expect(new Set(places).size).toBe(PLACE_COUNT)
  expect(places).toHaveLength(PLACE_COUNT)
})

test('the default pack compiles, and its classes fit into a key announcement', () => {
  const { dataClasses, ruleNames } = compileRules(REDACTION_DEFAULTS)
  expect(dataClasses.length).toBeLessThanOrEqual(64)
  for (const name of dataClasses) expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/)
  expect(new Set(ruleNames).size).toBe(ruleNames.length)
})

test('metrics count by rule and action', async () => {
  const registry = new Registry()
  const metrics = new RedactionMetrics(registry)
  metrics.observe({ counts: [{ rule: 'cards', action: 'mask', count: 3 }], forged: 2, overBudget: 1 })
  metrics.observe({ counts: [{ rule: 'cards', action: 'mask', count: 1 }], forged: 0, overBudget: 0 })
  const text = await registry.metrics()
  expect(text).toContain('betrace_redaction_values_total{rule="cards",action="mask"} 4')
  expect(text).toContain('betrace_redaction_forged_attributes_total 2')
  expect(text).toContain('betrace_redaction_over_budget_total 1')
})
