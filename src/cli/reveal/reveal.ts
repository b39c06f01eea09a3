// `betrace reveal`: opens sealed values of exported files, or one token. Exit codes: 0 all opened, 1 some did not open,
// 2 cannot tell (what the key service or the key store would have to say), 3 usage.
import { parseArgs } from 'node:util'
import { asSidecarError, SidecarError } from '../../base/errors.ts'
import { idsOf } from '../../formats/sealed-value.ts'
import { namedPlace, PLACE_NAMES } from '../../formats/value-place.ts'
import {
  anyValueJson,
  failureOf,
  type RevealSettings,
  revealRequests,
  revealToken,
  type SealedToken,
} from '../../keys/operations/reveal.ts'
import { CONFIG_OPTIONS, CONFIG_OPTIONS_HELP, configArgvOf } from '../config-options.ts'
import { HELD_BYTES_MAX, openSource } from '../exported-file/byte-source.ts'
import { type FileRequest, readExported } from '../exported-file/exported-file.ts'
import { type FileFault, faultText } from '../exported-file/faults.ts'
import { writeRequest } from '../exported-file/forms.ts'
import { reportUsage } from '../help.ts'
import { type CommandIo, ExitCode, painter } from '../terminal.ts'
import { positionText } from '../verify/report.ts'
import { type RevealAccess, revealAccess } from './access.ts'
import { type FileReport, failureText, jsonReport, printFailures, printText, valueText } from './report.ts'

export type RevealIo = Pick<CommandIo, 'stdout' | 'stderr'> &
  Partial<Pick<CommandIo, 'env' | 'cwd'>> & { readonly stdin?: AsyncIterable<Uint8Array> }

const USAGE = `Usage: betrace reveal [KEY SERVICE] [--json | --document] FILE…
       betrace reveal [KEY SERVICE] --token T --attribute K --announcement A
                      [--trace-id HEX --span-id HEX]

Opens sealed values in OTLP/JSON, JSON lines or protobuf, and in Jaeger's
answers (which keep lists and maps as text: a value inside a map does not open
there; --document writes them as OTLP/JSON); - is standard input.
Needs the exported file and the key service, nothing else.
  --json               what opened and what did not, as one JSON document
  --document           the files themselves with every value opened
  --token T            one sealed value, enc.v1.…
  --attribute K        the attribute key that it stood under; for a value in a
                       map once for each key, from the outermost inwards
  --place NAME         where it stood if in no attribute: span.name, log.body …
  --announcement A     value of the resource attribute betrace.key.<kid>
  --trace-id HEX       ids of the span or log record that it stood in, zeros
  --span-id HEX        for one that is missing; none for a resource or scope
Key service:
${CONFIG_OPTIONS_HELP}  --kms.local.key-file FILE
                       the local key service with this file, no configuration
Exit codes: 0 all opened, 1 some did not open, 2 cannot tell, 3 usage.
`

interface RevealArguments {
  readonly files: readonly string[]
  readonly isJson: boolean
  readonly isDocument: boolean
  readonly token: SealedToken | undefined
  readonly keyFile: string | undefined
  readonly configArgv: readonly string[]
}

/** How the command reaches the key service; tests give their own. */
export type OpenAccess = (
  args: Pick<RevealArguments, 'keyFile' | 'configArgv'>,
  io: CommandIo,
) => Promise<RevealAccess>

export async function reveal(
  argv: string[],
  io: RevealIo,
  openAccess: OpenAccess = revealAccess,
): Promise<number> {
  if (argv.includes('--help')) {
    io.stdout.write(USAGE)
    return ExitCode.GOOD
  }
  const parsed = readArguments(argv)
  if (typeof parsed === 'string') {
    return reportUsage(io, 'reveal', parsed)
  }
  const surroundings: CommandIo = { ...io, env: io.env ?? process.env, cwd: io.cwd ?? process.cwd() }
  const access = await openAccess(parsed, surroundings).catch((thrown: unknown) => asSidecarError(thrown))
  if (access instanceof SidecarError) {
    if (access.code === 'INTERNAL' || access.code === 'USAGE') throw access
    io.stderr.write(`betrace reveal: ${access.message}\n`)
    return ExitCode.CANNOT_TELL
  }
  try {
    return parsed.token === undefined
      ? await revealFiles(parsed, access, surroundings, io.stdin ?? process.stdin)
      : await revealOne(parsed, parsed.token, access, surroundings)
  } finally {
    await access.close()
  }
}

async function revealFiles(
  args: RevealArguments,
  access: RevealSettings,
  io: CommandIo,
  stdin: AsyncIterable<Uint8Array>,
): Promise<number> {
  const reports: FileReport[] = []
  for (const file of args.files) {
    try {
      const { requests, failures } = await collect(openSource(file, io.cwd, stdin))
      const { tokens, bodies } = await revealRequests(access, requests, noDeadline())
      reports.push({ file, tokens, failures })
      if (args.isDocument) {
        for (const [index, { form, signal }] of requests.entries())
          io.stdout.write(writeRequest(form, signal, bodies[index]!))
      }
    } catch (thrown) {
      reports.push({ file, tokens: [], failures: [{ message: faultText(thrown) }] })
    }
    for (const { message, ...place } of reports.at(-1)?.failures ?? [])
      io.stderr.write(`${positionText({ file, ...place })}: ${message}\n`)
  }
  if (args.isJson) io.stdout.write(jsonReport(reports))
  else if (args.isDocument) printFailures(io.stderr, reports, painter(io.stderr, io.env))
  else printText(io.stdout, reports, painter(io.stdout, io.env))
  return exitCodeOf(reports)
}

/** All of a file: a value may stand before the announcement of its key. */
async function collect(
  source: AsyncIterable<Uint8Array>,
): Promise<{ readonly requests: FileRequest[]; readonly failures: FileFault[] }> {
  const requests: FileRequest[] = []
  const failures: FileFault[] = []
  let bytes = 0
  for await (const piece of readExported(source, 'sound')) {
    if ('fault' in piece) {
      const { fault: message, ...place } = piece
      failures.push({ ...place, message })
      continue
    }
    requests.push(piece)
    bytes += piece.body.length
    if (bytes > HELD_BYTES_MAX) throw new SidecarError('TOO_LARGE', 'file is too large')
  }
  return { requests, failures }
}

async function revealOne(
  args: RevealArguments,
  sealed: SealedToken,
  access: RevealSettings,
  io: CommandIo,
): Promise<number> {
  try {
    const opened = await revealToken(access, sealed, noDeadline())
    const value = anyValueJson(opened.plaintext)
    io.stdout.write(
      args.isJson ? `${JSON.stringify({ class: opened.dataClass, value })}\n` : `${valueText(value)}\n`,
    )
    return ExitCode.GOOD
  } catch (thrown) {
    const error = asSidecarError(thrown)
    if (error.code === 'INTERNAL') throw thrown
    const failure = failureOf(error)
    io.stderr.write(`betrace reveal: ${failureText(failure, error)}\n`)
    return failure === 'cannot_tell' ? ExitCode.CANNOT_TELL : ExitCode.FAILED
  }
}

function exitCodeOf(reports: readonly FileReport[]): number {
  const outcomes = reports.flatMap(({ tokens }) => tokens.map(({ outcome }) => outcome))
  const failed = outcomes.flatMap((outcome) => (outcome.isOpen ? [] : [outcome.failure]))
  // What is certain comes first, as in verify.
  if (failed.some((failure) => failure !== 'cannot_tell')) return ExitCode.FAILED
  const isUnread = reports.some(({ failures }) => failures.length > 0)
  return isUnread || failed.length > 0 ? ExitCode.CANNOT_TELL : ExitCode.GOOD
}

function readArguments(argv: readonly string[]): RevealArguments | string {
  const { values, positionals, problem } = parseOptions(argv)
  if (problem !== undefined) return problem
  const { token, attribute = [], announcement, place: placeName } = values
  const isOne = token !== undefined || attribute.length > 0 || announcement !== undefined
  const place = namedPlace(placeName, attribute)
  if (isOne && placeName !== undefined && place === undefined)
    return `--place is one of ${PLACE_NAMES.join(', ')}`
  if (isOne && (token === undefined || place === undefined || announcement === undefined)) {
    return '--token, --attribute and --announcement go together'
  }
  const ids = readIds(values['trace-id'], values['span-id'])
  if (typeof ids === 'string') return ids
  if (isOne && (positionals.length > 0 || values.document === true)) return 'one token or files, not both'
  if (!isOne && positionals.length === 0) return 'which file? Give one, or - for standard input'
  if (values.json === true && values.document === true) return '--json or --document, not both'
  return {
    files: positionals,
    isJson: values.json === true,
    isDocument: values.document === true,
    token: isOne ? { token: token!, place: place!, announcement: announcement!, ids } : undefined,
    keyFile: values['kms.local.key-file'],
    configArgv: configArgvOf(values),
  }
}

const OPTIONS = {
  json: { type: 'boolean' },
  document: { type: 'boolean' },
  token: { type: 'string' },
  attribute: { type: 'string', multiple: true },
  place: { type: 'string' },
  announcement: { type: 'string' },
  'trace-id': { type: 'string' },
  'span-id': { type: 'string' },
  ...CONFIG_OPTIONS,
  'kms.local.key-file': { type: 'string' },
} as const

/** The ids that were given; `undefined` when none was, or what is wrong with one. */
function readIds(traceId: string | undefined, spanId: string | undefined): Uint8Array | string | undefined {
  if (traceId !== undefined && !/^[0-9a-fA-F]{32}$/.test(traceId))
    return '--trace-id is 32 hexadecimal digits'
  if (spanId !== undefined && !/^[0-9a-fA-F]{16}$/.test(spanId)) return '--span-id is 16 hexadecimal digits'
  if (traceId === undefined && spanId === undefined) return undefined
  const bytes = (text: string | undefined): Uint8Array | undefined =>
    text === undefined ? undefined : Buffer.from(text, 'hex')
  return idsOf(bytes(traceId), bytes(spanId))
}

function parseOptions(argv: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: OPTIONS,
      strict: true,
      allowPositionals: true,
    })
    return { values, positionals, problem: undefined }
  } catch {
    // parseArgs quotes the argument, which may be somebody's data.
    return { values: {}, positionals: [], problem: 'unknown or incomplete option' } as const
  }
}

/** A command ends with its process; the key service has its own time-outs. */
const noDeadline = (): AbortSignal => new AbortController().signal
