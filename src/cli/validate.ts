import type { SidecarConfig } from '../config/schema.ts'
import type { StartFindings } from '../service/start-checks.ts'
import { loadFromArguments, reportFindings } from './config-options.ts'
import { errorLine } from './error-line.ts'
import { type CommandIo, ExitCode, painter } from './terminal.ts'

/** Checks a configuration and starts nothing. 0: it would start, whole; 1: every problem has been printed. */
export async function validate(argv: string[], io: CommandIo): Promise<number> {
  const loaded = await loadFromArguments(argv, io)
  reportFindings(loaded, io)
  const found = loaded.config && (await checkSurroundings(loaded.config, io))
  const count = loaded.problems.length + (found?.problems.length ?? 0) + (found?.waiting.length ?? 0)
  if (!loaded.config || count > 0) {
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

/** Half a configuration is not looked up: what it names may not be what is meant. */
async function checkSurroundings(config: SidecarConfig, io: CommandIo): Promise<StartFindings> {
  const { checkStart } = await import('../service/start-checks.ts')
  const found = await checkStart(config, io.env)
  const paint = painter(io.stderr, io.env)
  for (const error of found.problems) io.stderr.write(`${paint('red', 'error')}: ${errorLine(error)}\n`)
  for (const error of found.waiting)
    io.stderr.write(
      `${paint('red', 'error')}: ${errorLine(error)}; a start waits for it, and the rest works\n`,
    )
  for (const line of found.warnings) io.stderr.write(`${paint('yellow', 'warning')}: ${line}\n`)
  return found
}
