// `betrace run`: the sidecar itself, from its configuration to the last flushed byte.
import { once } from 'node:events'
import inspector from 'node:inspector'
import { createTelemetry } from '../base/telemetry.ts'
import { Service } from '../service/service.ts'
import { loadFromArguments, reportFindings } from './config-options.ts'
import { type CommandIo, ExitCode } from './terminal.ts'

/** Runs until SIGTERM or SIGINT. 0 after an orderly stop, 1 when it could not start or had to give up. */
export async function run(argv: string[], io: CommandIo): Promise<number> {
  const loaded = await loadFromArguments(argv, io)
  reportFindings(loaded, io)
  const { config } = loaded
  if (config === undefined) return ExitCode.FAILED

  const telemetry = await createTelemetry(config.service.telemetry.logs)
  if (inspector.url() !== undefined)
    telemetry.log.warn(
      'An inspector is open: whoever reaches it reads keys and plain text. Leave out --inspect',
    )
  const stopping = firstSignal()
  const service = await Service.start(config, { ...telemetry, env: io.env })
  const signal = await stopping
  telemetry.log.info({ signal }, 'Stopping: no new requests, finishing those under way')
  // A second signal means that somebody is in a hurry; what is on disk is safe.
  void firstSignal().then(() => process.exit(ExitCode.FAILED))
  const isFlushed = await service.stop()
  telemetry.log.info(
    isFlushed
      ? 'Stopped: the queue is empty'
      : 'Stopped: the rest of the queue stays on disk for the next start',
  )
  return ExitCode.GOOD
}

async function firstSignal(): Promise<NodeJS.Signals> {
  const controller = new AbortController()
  const { signal } = controller
  try {
    return await Promise.race(
      (['SIGTERM', 'SIGINT'] as const).map(async (name) => {
        await once(process, name, { signal })
        return name
      }),
    )
  } finally {
    controller.abort()
  }
}
