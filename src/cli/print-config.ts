import { printConfig as toYaml } from '../config/print.ts'
import { loadFromArguments, reportFindings } from './config-options.ts'
import { type CommandIo, ExitCode } from './terminal.ts'

/** Prints the effective configuration: merged, defaults filled in, secrets as `[redacted]`. Nothing when it is wrong. */
export async function printConfig(argv: string[], io: CommandIo): Promise<number> {
  const loaded = await loadFromArguments(argv, io)
  reportFindings(loaded, io)
  if (!loaded.config) return ExitCode.FAILED
  io.stdout.write(toYaml(loaded.effective))
  return ExitCode.GOOD
}
