import { createInterface } from 'node:readline/promises'
import { SidecarError } from '../../base/errors.ts'
import { escapeControls } from '../terminal.ts'
import type { KeysIo } from './output.ts'

/**
 * What cannot be undone is confirmed: by `--yes`, or by typing `word` on a terminal. False when something else was typed.
 * Throws USAGE where there is no terminal to ask.
 */
export async function confirm(
  question: string,
  word: string,
  isConfirmed: boolean,
  io: KeysIo,
): Promise<boolean> {
  if (isConfirmed) return true
  const stdin = io.stdin ?? process.stdin
  if (stdin.isTTY !== true)
    throw new SidecarError(
      'USAGE',
      'this cannot be undone, and there is no terminal to ask on; --yes confirms it',
    )
  const asking = createInterface({ input: stdin, output: io.stderr })
  try {
    const answer = await asking.question(`${question}\nType ${escapeControls(word)} to confirm: `)
    return answer.trim() === word
  } finally {
    asking.close()
  }
}
