// `betrace keys rewrap`: after a change of master key or provider.
import { type RewrapFailure, rewrapAll } from '../../keys/operations/rewrap.ts'
import { ExitCode, escapeControls, LINE_COLUMNS, wrap } from '../terminal.ts'
import { openFormerKms, type WritableKeys } from './access.ts'
import type { KeysArguments } from './arguments.ts'
import { type KeysIo, reasonOf } from './output.ts'

const PROGRESS_EVERY = 100
const OLD_KEY =
  'Announcements in exported telemetry still name the old master key: keep it while values must open away from this key store.'

export async function rewrapKeys(keys: WritableKeys, args: KeysArguments, io: KeysIo): Promise<number> {
  const { rewrapFrom } = keys.config.kms
  const from = await openFormerKms(args.fromConfigs.length > 0 ? args.fromConfigs : rewrapFrom, io)
  const interruption = interrupted()
  try {
    const report = await rewrapAll(
      {
        from,
        to: keys.kms,
        store: keys.store,
        clock: keys.clock,
        onProgress: ({ total, rewrapped, skipped, failed }) => {
          const done = rewrapped + skipped + failed
          if (done % PROGRESS_EVERY === 0) io.stderr.write(`${done} of ${total} keys\n`)
        },
      },
      interruption.abort,
    )
    for (const failure of report.failures)
      io.stderr.write(`${wrap(failureText(failure), '', '', LINE_COLUMNS)}\n`)
    const { total, rewrapped, skipped, failed, isInterrupted } = report
    io.stdout.write(
      `${rewrapped} of ${total} keys wrapped anew, ${skipped} were already, ${failed} failed\n${wrap(OLD_KEY)}\n`,
    )
    if (isInterrupted) io.stderr.write('betrace keys: interrupted; the same command goes on from here\n')
    return failed === 0 && !isInterrupted ? ExitCode.GOOD : ExitCode.FAILED
  } finally {
    interruption.end()
    await from?.close()
  }
}

function failureText({ error, count, records }: RewrapFailure): string {
  const reason =
    error.code === 'KEY_RECORD_CORRUPT'
      ? 'their records are damaged'
      : error.code === 'CONFIG'
        ? `${error.message} (--from names the configuration that opens them)`
        : reasonOf(error)
  const more = count > records.length ? ` and ${count - records.length} more` : ''
  const what = count === 1 ? '1 key stays as it was' : `${count} keys stay as they were`
  return `betrace keys: ${what}: ${reason}: ${escapeControls(records.join(', '))}${more}`
}

/** Control-C stops between two keys, not within one. */
function interrupted(): { readonly abort: AbortSignal; end(): void } {
  const controller = new AbortController()
  const stop = (): void => controller.abort()
  process.once('SIGINT', stop)
  return { abort: controller.signal, end: () => void process.off('SIGINT', stop) }
}
