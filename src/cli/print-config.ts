import { printConfig as toYaml } from '../config/print.ts'
import { BUILD_ABILITIES } from './capabilities.ts'
import { type BuildAbilities, loadFromArguments, reportFindings } from './config-options.ts'
import { type CommandIo, ExitCode } from './terminal.ts'

/** Prints the effective configuration: merged, defaults filled in, secrets as `[redacted]`. Nothing when it is wrong. */
export async function printConfig(
  argv: string[],
  io: CommandIo,
  abilities: BuildAbilities = BUILD_ABILITIES,
): Promise<number> {
  const loaded = await loadFromArguments(argv, io, abilities)
  reportFindings(loaded, io)
  if (!loaded.config) return ExitCode.FAILED
  io.stdout.write(toYaml(loaded.effective))
  return ExitCode.GOOD
}
