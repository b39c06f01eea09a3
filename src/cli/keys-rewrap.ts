// `betrace keys rewrap`: after a change of master key or provider.
import { rewrapAll } from '../keys/rewrap.ts'
import type { KeysIo } from './keys.ts'
import { loadKeysConfig, openConfiguredKms, type WritableKeys } from './keys-access.ts'
import type { KeysArguments } from './keys-arguments.ts'
import { shown } from './keys-public.ts'
import { ExitCode } from './terminal.ts'

const PROGRESS_EVERY = 100

export async function rewrapKeys(keys: WritableKeys, args: KeysArguments, io: KeysIo): Promise<number> {
  const from =
    args.fromConfig === undefined
      ? undefined
      : await openConfiguredKms(await loadKeysConfig(['--config', args.fromConfig], io), io)
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
      interruption.signal,
    )
    for (const { record, error } of report.failures)
      io.stderr.write(`betrace keys: ${shown(record)} stays as it was: ${error}\n`)
    const { total, rewrapped, skipped, failed, isInterrupted } = report
    io.stdout.write(
      `${rewrapped} of ${total} keys wrapped anew, ${skipped} were already, ${failed} failed\n` +
        'Announcements in exported telemetry still name the old master key: keep it while values\n' +
        'must open away from this key store.\n',
    )
    if (isInterrupted) io.stderr.write('betrace keys: interrupted; the same command goes on from here\n')
    return failed === 0 && !isInterrupted ? ExitCode.GOOD : ExitCode.FAILED
  } finally {
    interruption.end()
    await from?.close()
  }
}

/** Control-C stops between two keys, not within one. */
function interrupted(): { readonly signal: AbortSignal; end(): void } {
  const controller = new AbortController()
  const stop = (): void => controller.abort()
  process.once('SIGINT', stop)
  return { signal: controller.signal, end: () => void process.off('SIGINT', stop) }
}
