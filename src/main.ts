import { runCommand } from './cli/commands.ts'

const { stdout, stderr, env } = process
process.exitCode = await runCommand(process.argv.slice(2), { stdout, stderr, env, cwd: process.cwd() })
