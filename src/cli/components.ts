import { parseArgs } from 'node:util'
import { stringify } from 'yaml'
import { SidecarError } from '../base/errors.ts'
import { BUILD_COMPONENTS, type ComponentTable } from './capabilities.ts'
import { type CommandIo, ExitCode, painter, table } from './terminal.ts'

/** Lists what this build can do, as a table, or with --json or --yaml for machines. */
export async function components(
  argv: string[],
  io: CommandIo,
  all: ComponentTable = BUILD_COMPONENTS,
): Promise<number> {
  const format = parseFormat(argv)
  if (format !== 'table') {
    const plain = Object.fromEntries([...all].map(([kind, list]) => [kind.replaceAll(' ', '_'), list]))
    io.stdout.write(format === 'json' ? `${JSON.stringify(plain, null, 2)}\n` : stringify(plain))
    return ExitCode.GOOD
  }
  const paint = painter(io.stdout, io.env)
  const width = Math.max(...[...all.values()].flat().map(({ name }) => name.length))
  for (const [kind, list] of all) {
    io.stdout.write(`${paint('bold', kind)}\n`)
    io.stdout.write(
      table(
        list.map(({ name, summary }) => [name.padEnd(width), summary]),
        '  ',
      ),
    )
  }
  return ExitCode.GOOD
}

function parseFormat(argv: string[]): 'table' | 'json' | 'yaml' {
  try {
    const { values } = parseArgs({
      args: argv,
      options: { json: { type: 'boolean' }, yaml: { type: 'boolean' } },
    })
    return values.json ? 'json' : values.yaml ? 'yaml' : 'table'
  } catch (cause) {
    throw new SidecarError('USAGE', 'the options are --json and --yaml', { cause })
  }
}
