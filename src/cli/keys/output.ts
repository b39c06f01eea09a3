// What the key commands share: where they write, and what they say of failures.
import { asSidecarError } from '../../base/errors.ts'
import { KeyRecordError } from '../../keys/records/key-record.ts'
import { KmsError } from '../../kms/kms.ts'
import { type CommandIo, ExitCode, escapeControls, LINE_COLUMNS, wrap } from '../terminal.ts'

/** `stdin` is asked for confirmation when it is a terminal. */
export type KeysIo = CommandIo & { readonly stdin?: NodeJS.ReadableStream & { readonly isTTY?: boolean } }

/** One phrase: the key service's class and words, the damaged record's name, or the error's message. */
export function reasonOf(thrown: unknown): string {
  const error = asSidecarError(thrown)
  if (error instanceof KmsError)
    return escapeControls(`${error.kmsClass}, ${error.providerMessage} (see ${error.runbook})`)
  return error instanceof KeyRecordError ? `record ${escapeControls(error.record)} is damaged` : error.message
}

export function notConfirmed(io: KeysIo): number {
  io.stderr.write('betrace keys: not confirmed, nothing was done\n')
  return ExitCode.FAILED
}

/** In lines of at most 80 columns; a line break stays one. */
export function printWrapped(output: KeysIo['stdout'], text: string): void {
  const lines = text.split('\n').map((line) => wrap(line, '', '', LINE_COLUMNS))
  output.write(`${lines.join('\n')}\n`)
}
