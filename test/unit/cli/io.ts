import { Writable } from 'node:stream'
import type { CommandIo, Output } from '../../../src/cli/terminal.ts'

/** A command's surroundings that keep what was written. */
export function recordingIo(env: CommandIo['env'] = {}, cwd = import.meta.dirname, isTTY = false) {
  const out = recorder(isTTY)
  const err = recorder(isTTY)
  const io: CommandIo = { stdout: out.stream, stderr: err.stream, env, cwd }
  return { io, out: out.text, err: err.text }
}

function recorder(isTTY: boolean): { stream: Output; text: () => string } {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk
      done()
    },
  })
  return { stream: Object.assign(stream, { isTTY }), text: () => text }
}
