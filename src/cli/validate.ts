import { BUILD_ABILITIES } from './build-abilities.ts'
import { type BuildAbilities, loadFromArguments, reportFindings } from './config-options.ts'
import { type CommandIo, ExitCode, painter } from './terminal.ts'

/** Checks a configuration and starts nothing. 0: it would start; 1: every problem has been printed. */
export async function validate(
  argv: string[],
  io: CommandIo,
  abilities: BuildAbilities = BUILD_ABILITIES,
): Promise<number> {
  const loaded = await loadFromArguments(argv, io, abilities)
  reportFindings(loaded, io)
  if (!loaded.config) {
    const count = loaded.problems.length
    io.stderr.write(`${count} ${count === 1 ? 'problem' : 'problems'}\n`)
    return ExitCode.FAILED
  }
  const { receivers, exporters, service } = loaded.config
  const paint = painter(io.stdout, io.env)
  const pipelines = [...service.pipelines.keys()].join(', ')
  io.stdout.write(
    `${paint('green', 'valid')}: pipelines ${pipelines}; ${receivers.size} receiver(s), ${exporters.size} exporter(s)\n`,
  )
  return ExitCode.GOOD
}
