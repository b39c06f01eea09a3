// `betrace store`: what the data folder holds and what of it is lost, and how to go on with the rest. Exit codes: 0 nothing
// is lost, 1 something is, or the folder cannot be used, 2 there is nothing in it, 3 usage.
import { parseArgs } from 'node:util'
import { SidecarError } from '../../base/errors.ts'
import { checkFolder, type FolderReport } from '../../store/check.ts'
import { describeLoss } from '../../store/damage.ts'
import { damagedFolder, hasEarlierLife } from '../../store/data-folder.ts'
import { SIGNALS } from '../../store/entry.ts'
import { type DirectoryLock, lockDirectory } from '../../store/lock.ts'
import { salvageFolder } from '../../store/salvage.ts'
import {
  CONFIG_OPTIONS,
  CONFIG_OPTIONS_HELP,
  configArgvOf,
  loadFromArguments,
  reportFindings,
} from '../config-options.ts'
import { reportUsage } from '../help.ts'
import { confirm } from '../keys/confirm.ts'
import type { KeysIo } from '../keys/output.ts'
import { ExitCode } from '../terminal.ts'

const USAGE = `Usage: betrace store check [--config FILE]…
       betrace store salvage [--yes] [--config FILE]…

With the sidecar stopped:
  check                read the whole data folder: what waits in the queue,
                       how much evidence and how many key records there are,
                       and what cannot be read; changes nothing
  salvage              go on without what cannot be read: it is counted and
                       named, damaged files are kept in the folder 'damaged',
                       and the sidecar starts again with the rest
Options:
  --yes                do not ask (salvage)
${CONFIG_OPTIONS_HELP}Exit codes: 0 nothing is lost, 1 something is lost or the folder cannot be
used, 2 there is no store in it, 3 usage.
`

interface StoreArguments {
  readonly action: 'check' | 'salvage'
  readonly isConfirmed: boolean
  readonly configArgv: readonly string[]
}

export async function store(argv: string[], io: KeysIo): Promise<number> {
  if (argv.includes('--help')) {
    io.stdout.write(USAGE)
    return ExitCode.GOOD
  }
  const args = readArguments(argv)
  if (!args) return reportUsage(io, 'store', 'the actions are check and salvage')
  const loaded = await loadFromArguments(args.configArgv, io)
  if (!loaded.config) {
    reportFindings(loaded, io)
    throw new SidecarError('CONFIG', 'the configuration has problems')
  }
  const { directory } = loaded.config.storage
  // Nothing is made where there is nothing.
  if (!hasEarlierLife(directory)) return reportNothing(directory, io)
  const lock = lockDirectory(directory)
  try {
    return args.action === 'check'
      ? check(directory, io)
      : await salvage(directory, lock, args.isConfirmed, io)
  } finally {
    lock.release()
  }
}

function check(directory: string, io: KeysIo): number {
  const report = checkFolder(directory)
  if (!report) return reportNothing(directory, io)
  printReport(report, io)
  if (!isHarmed(report)) io.stdout.write('Nothing is lost.\n')
  return isHarmed(report) ? ExitCode.FAILED : ExitCode.GOOD
}

async function salvage(
  directory: string,
  lock: DirectoryLock,
  isConfirmed: boolean,
  io: KeysIo,
): Promise<number> {
  const before = checkFolder(directory)
  if (!before && lock.formerStore === undefined) return reportNothing(directory, io)
  if (before && !isHarmed(before)) {
    io.stdout.write('Nothing is lost, so there is nothing to do.\n')
    return ExitCode.GOOD
  }
  if (before) printReport(before, io)
  const question = 'What cannot be read is given up for good; without it the sidecar goes on.'
  if (!(await confirm(question, 'salvage', isConfirmed, io))) {
    io.stderr.write('not salvaged\n')
    return ExitCode.FAILED
  }
  await salvageFolder(directory, lock)
  io.stdout.write(
    `Salvaged: the sidecar can be started. What was damaged is kept in ${damagedFolder(directory)}.\n`,
  )
  return ExitCode.GOOD
}

function isHarmed({ losses, isMarkLost }: FolderReport): boolean {
  return isMarkLost || losses.length > 0
}

function printReport(report: FolderReport, io: KeysIo): void {
  const waiting = SIGNALS.map(
    (signal) => `${report.waiting[signal].entries} of ${signal} (${report.waiting[signal].items} items)`,
  )
  if (report.isMarkLost) {
    io.stdout.write('Lost: the mark. How far the last files reached is not known any more.\n')
    return
  }
  io.stdout.write(
    `Waiting in the queue: ${waiting.join(', ')}.\n` +
      `Evidence: ${report.statements} statements. Key records: ${report.keyRecords}.\n`,
  )
  if (report.isKeyCopyDamaged && !report.losses.some(({ log }) => log === 'keys'))
    io.stdout.write('One of two copies of the key records is damaged; the next start makes it anew.\n')
  for (const loss of report.losses) io.stdout.write(`Lost: ${describeLoss(loss)}.\n`)
}

function reportNothing(directory: string, io: KeysIo): number {
  io.stderr.write(`storage.directory: ${directory}: there is no store in it\n`)
  return ExitCode.CANNOT_TELL
}

function readArguments(argv: readonly string[]): StoreArguments | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: { yes: { type: 'boolean' }, ...CONFIG_OPTIONS },
      strict: true,
      allowPositionals: true,
    })
    const [action, ...rest] = positionals
    if (rest.length > 0 || (action !== 'check' && action !== 'salvage')) return undefined
    return { action, isConfirmed: values.yes === true, configArgv: configArgvOf(values) }
  } catch {
    return undefined
  }
}
