// `betrace verify FILE…`: checks exported spans offline. Exit codes: 0 all good, 1 tampered or not signed though it
// should be, 2 cannot tell (unknown key, unreadable, no span at all), 3 usage.
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { SidecarError } from '../../base/errors.ts'
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

const USAGE = `Usage: betrace verify FILE… [--keys FILE]… [--json] [--expect WHAT]

Checks the signatures of spans in OTLP/JSON, JSON lines or protobuf, and in
Jaeger's answers (which keep less than was signed: a span that differs is one
of which nothing can be told); - is standard input.
  --keys FILE   public keys, as betrace keys export writes them, or as
                GET /api/tenants/{id}/public-keys answers them
  --expect WHAT which unsigned spans are a failure: compliance (default),
                all, none
  --json        one JSON document instead of text
Exit codes: 0 all good, 1 tampered or not signed, 2 cannot tell, 3 usage.
`

interface VerifyArguments {
  readonly files: readonly string[]
  readonly keyFiles: readonly string[]
  readonly isJson: boolean
  readonly expected: 'compliance' | 'all' | undefined
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
  const documents: unknown[] = []
  for (const path of parsed.keyFiles) {
    try {
      const text = await readFile(resolve(cwd, path), 'utf8')
      documents.push(parseJson(text))
      keysFromJson(documents)
    } catch (thrown) {
      io.stderr.write(`${path}: ${faultText(thrown)}\n`)
      return ExitCode.CANNOT_TELL
    }
  }
  const verifier = new Verifier({ keys: keysFromJson(documents), expected: parsed.expected })
  const report = parsed.isJson ? jsonReport(io) : textReport({ ...io, env: io.env ?? process.env })
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
      args: argv,
      allowPositionals: true,
      options: {
        keys: { type: 'string', multiple: true },
        json: { type: 'boolean' },
        expect: { type: 'string' },
      },
    })
    if (positionals.length === 0) return 'no file given'
    const { expect = 'compliance' } = values
    if (expect !== 'compliance' && expect !== 'all' && expect !== 'none') {
      return '--expect takes compliance, all or none'
    }
    return {
      files: positionals,
      keyFiles: values.keys ?? [],
      isJson: values.json === true,
      expected: expect === 'none' ? undefined : expect,
    }
  } catch {
    // parseArgs quotes the argument, which may be somebody's data.
    return 'unknown or incomplete option'
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new SidecarError('USAGE', 'is not JSON', { cause })
  }
}
