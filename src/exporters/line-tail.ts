// The end of a file of JSON lines after a crash. It is read in pieces, since a torn line may be longer than memory has
// room for: a process that died over a line must not die again over what is left of it.
import type { FileHandle } from 'node:fs/promises'

const NEWLINE = 0x0a
const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN = 0x7b
const CLOSE = 0x7d
const PIECE_BYTES = 64 * 1024

/** Cuts a torn last line off. A last line that is a whole object and lacks only its newline is somebody's, and is kept. */
export async function mendTail(file: FileHandle, size: number): Promise<number> {
  if (size === 0) return 0
  const end = await lastNewline(file, size)
  if (end === size) return size
  if (await isWholeObject(file, end, size)) {
    await file.write('\n')
    await file.datasync()
    return size + 1
  }
  await file.truncate(end)
  await file.datasync()
  return end
}

/** Position after the last newline, 0 when there is none. */
async function lastNewline(file: FileHandle, size: number): Promise<number> {
  const piece = Buffer.alloc(PIECE_BYTES)
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - piece.length)
    const { bytesRead } = await file.read(piece, 0, end - start, start)
    const at = piece.subarray(0, bytesRead).lastIndexOf(NEWLINE)
    if (at >= 0) return start + at + 1
    end = start
  }
  return 0
}

/**
 * Whether the brace that opens at `start` closes with the last byte and not before. What begins as an object and was torn
 * never does: every brace outside of text counts, so this tells a beginning from a whole without parsing either.
 */
async function isWholeObject(file: FileHandle, start: number, end: number): Promise<boolean> {
  const piece = Buffer.alloc(PIECE_BYTES)
  let depth = 0
  let isInText = false
  let isEscaped = false
  for (let position = start; position < end; ) {
    const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, end - position), position)
    if (bytesRead === 0) return false
    for (let i = 0; i < bytesRead; i++) {
      const byte = piece[i]
      if (depth === 0 && position + i > start && isBlank(byte)) continue
      if (depth === 0 && (position + i > start || byte !== OPEN)) return false
      if (isEscaped) isEscaped = false
      else if (isInText) {
        if (byte === BACKSLASH) isEscaped = true
        else if (byte === QUOTE) isInText = false
      } else if (byte === QUOTE) isInText = true
      else if (byte === OPEN) depth++
      else if (byte === CLOSE) depth--
    }
    position += bytesRead
  }
  return depth === 0
}

const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0d
