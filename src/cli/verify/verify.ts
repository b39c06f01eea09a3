// `betrace verify FILE…`: checks exported spans offline. The table of its answers is in proto/evidence.md §6.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { SidecarError } from '../../base/errors.ts'
import type { KeyLookup } from '../../evidence/check.ts'
import { type CoverageRequirement, parseCoverageRequirement } from '../../evidence/coverage-requirement.ts'
import type { Expected } from '../../evidence/expected-signatures.ts'
import { keysFromJson } from '../../evidence/listed-keys.ts'
import { Verifier } from '../../evidence/verify.ts'
import { openSource } from '../exported-file/byte-source.ts'
import { type Piece, readExported } from '../exported-file/exported-file.ts'
import { faultText } from '../exported-file/faults.ts'
import { reportUsage } from '../help.ts'
import { type CommandIo, ExitCode } from '../terminal.ts'
import { jsonReport, type Report, textReport } from './report.ts'

export type VerifyIo = Pick<CommandIo, 'stdout' | 'stderr'> &
  Partial<Pick<CommandIo, 'env' | 'cwd'>> & { readonly stdin?: AsyncIterable<Uint8Array> }

/** As proto/key-endorsement.md makes them; anything else is a file. */
const KEY_ID = /^[A-Za-z0-9_-]{22}$/

const USAGE = `Usage: betrace verify FILE… --trust KEY|FILE… [--keys FILE]… [options]

Checks the signatures of spans in OTLP/JSON, JSON lines or protobuf, and in
Jaeger's answers (which keep less than was signed: a span that differs is one
of which nothing can be told); - is standard input. No network is used.
  --trust KEY|FILE  whom you trust by other means: a key id, or a key file that
                    you have from the signer. Without one nothing is good, since
                    a list of keys vouches for nobody but itself
  --keys FILE       public keys, as betrace keys export writes them, or as
                    GET /api/tenants/{id}/public-keys answers them; good where a
                    trusted key leads to them
  --expect WHAT     which unsigned spans are a failure: policy (the default, as
                    the signed policies select), compliance, all, none
  --require-coverage WHAT
                    what signatures must cover: default, or attribute keys with
                    commas between (resource:KEY for one of the resource)
  --complete        the files hold all spans of their batches: that one is
                    missing is a failure
  --json            one JSON document instead of text
Exit codes: 0 all good, 1 tampered, not signed, or not as required, 2 cannot
tell, 3 usage. proto/evidence.md has the table.
`

interface VerifyArguments {
  readonly files: readonly string[]
  readonly keyFiles: readonly string[]
  readonly trusted: readonly string[]
  readonly isJson: boolean
  readonly isComplete: boolean
  readonly expected: Expected | undefined
  readonly required: CoverageRequirement | undefined
}

export async function verify(argv: string[], io: VerifyIo): Promise<number> {
  if (argv.includes('--help')) {
    io.stdout.write(USAGE)
    return ExitCode.GOOD
  }
  const parsed = readArguments(argv)
  if (typeof parsed === 'string') {
    return reportUsage(io, 'verify', parsed)
  }
  const cwd = io.cwd ?? process.cwd()
  const keys = await readKeys(parsed, cwd, io)
  if (keys === undefined) return ExitCode.CANNOT_TELL
  const { expected, required, isComplete } = parsed
  const verifier = new Verifier({ keys, expected, required, isComplete })
  const report = parsed.isJson
    ? jsonReport(io)
    : textReport({ ...io, env: io.env ?? process.env }, { isComplete, isTrusting: parsed.trusted.length > 0 })
  let isUnreadable = false
  for (const file of parsed.files) {
    const stdin = io.stdin ?? process.stdin
    if (!(await verifyFile(file, openSource(file, cwd, stdin), verifier, report))) isUnreadable = true
  }
  const summary = verifier.summary()
  const isUnknown = summary.outcome === 'unknown' || isUnreadable || summary.spanCount === 0
  const outcome = summary.outcome === 'bad' ? 'bad' : isUnknown ? 'unknown' : 'good'
  report.end(summary, outcome)
  return { good: ExitCode.GOOD, bad: ExitCode.FAILED, unknown: ExitCode.CANNOT_TELL }[outcome]
}

/** `undefined` when a file cannot be used; that was said. */
async function readKeys(
  { keyFiles, trusted }: VerifyArguments,
  cwd: string,
  io: VerifyIo,
): Promise<KeyLookup | undefined> {
  const keyIds = trusted.filter((each) => KEY_ID.test(each))
  const trustedFiles = trusted.filter((each) => !KEY_ID.test(each))
  const documents: unknown[] = []
  const pinned: unknown[] = []
  for (const [path, list] of [
    ...keyFiles.map((each) => [each, documents] as const),
    ...trustedFiles.map((each) => [each, pinned] as const),
  ]) {
    try {
      list.push(parseJson(await readFile(resolve(cwd, path), 'utf8')))
      keysFromJson(documents, { documents: pinned })
    } catch (thrown) {
      const isTrusted = list === pinned && !existsSync(resolve(cwd, path))
      const hint = isTrusted ? ', and no key id either: those have 22 characters' : ''
      io.stderr.write(`${path}: ${faultText(thrown)}${hint}\n`)
      return undefined
    }
  }
  try {
    return keysFromJson(documents, { keyIds, documents: pinned })
  } catch (thrown) {
    io.stderr.write(`--trust: ${faultText(thrown)}\n`)
    return undefined
  }
}

/** False when something in the file could not be read; what could is checked all the same. */
async function verifyFile(
  file: string,
  source: AsyncIterable<Uint8Array>,
  verifier: Verifier,
  report: Report,
): Promise<boolean> {
  let isReadable = true
  try {
    for await (const piece of readExported(source, 'any')) {
      const { line, request } = piece
      const position = {
        file,
        ...(line !== undefined && { line }),
        ...(request !== undefined && { request }),
      }
      const failure = checkPiece(piece, verifier, (verdict) => report.span(verdict, position))
      if (failure === undefined) continue
      isReadable = false
      report.unreadable(failure, position)
    }
  } catch (thrown) {
    isReadable = false
    report.unreadable(faultText(thrown), { file })
  }
  return isReadable
}

/** What was wrong with a piece, if anything. */
function checkPiece(
  piece: Piece,
  verifier: Verifier,
  each: (verdict: ReturnType<Verifier['add']>[number]) => void,
): string | undefined {
  if ('fault' in piece) return piece.fault
  if (piece.signal !== 'traces') return undefined
  try {
    for (const verdict of verifier.add(piece.body, piece.isLossy)) each(verdict)
    return undefined
  } catch (thrown) {
    return faultText(thrown)
  }
}

/** The arguments, or what is wrong with them. */
function readArguments(argv: string[]): VerifyArguments | string {
  try {
    const { values, positionals } = parseArgs({
      args: joinKeyIds(argv),
      allowPositionals: true,
      options: {
        keys: { type: 'string', multiple: true },
        trust: { type: 'string', multiple: true },
        complete: { type: 'boolean' },
        'require-coverage': { type: 'string' },
        json: { type: 'boolean' },
        expect: { type: 'string' },
      },
    })
    if (positionals.length === 0) return 'no file given'
    const { expect = 'policy', 'require-coverage': coverage } = values
    if (!isExpected(expect)) return '--expect takes policy, compliance, all or none'
    const required = coverage === undefined ? undefined : parseCoverageRequirement(coverage)
    if (coverage !== undefined && required === undefined)
      return '--require-coverage takes default, or keys with commas between'
    return {
      files: positionals,
      keyFiles: values.keys ?? [],
      trusted: values.trust ?? [],
      isJson: values.json === true,
      isComplete: values.complete === true,
      expected: expect === 'none' ? undefined : expect,
      required,
    }
  } catch {
    // parseArgs quotes the argument, which may be somebody's data.
    return 'unknown or incomplete option'
  }
}

/** A key id may begin with a dash, which would be taken for an option. */
function joinKeyIds(argv: readonly string[]): string[] {
  const joined: string[] = []
  for (const each of argv) {
    if (joined.at(-1) === '--trust' && KEY_ID.test(each)) joined[joined.length - 1] = `--trust=${each}`
    else joined.push(each)
  }
  return joined
}

function isExpected(text: string): text is 'policy' | 'compliance' | 'all' | 'none' {
  return ['policy', 'compliance', 'all', 'none'].includes(text)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new SidecarError('USAGE', 'is not JSON', { cause })
  }
}
