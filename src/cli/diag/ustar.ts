// Just enough of POSIX ustar (IEEE 1003.1, "ustar Interchange Format") for a few small regular files: one header block,
// the content padded to blocks, two empty blocks at the end.

export interface TarFile {
  /** At most 100 ASCII characters, `/` between folders. */
  readonly name: string
  readonly content: Uint8Array
}

const BLOCK_BYTES = 512
/** Owner only: a bundle is about a system that handles personal data. */
const MODE = 0o600

/** An uncompressed archive. `modifiedMs` stands for every file. */
export function ustar(files: readonly TarFile[], modifiedMs: number): Uint8Array {
  const blocks = files.flatMap(({ name, content }) => [
    header(name, content.length, modifiedMs),
    content,
    Buffer.alloc((BLOCK_BYTES - (content.length % BLOCK_BYTES)) % BLOCK_BYTES),
  ])
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK_BYTES)])
}

function header(name: string, size: number, modifiedMs: number): Uint8Array {
  if (!/^[\x21-\x7e]{1,100}$/.test(name)) throw new Error('a file in an archive needs a short ASCII name')
  const block = Buffer.alloc(BLOCK_BYTES)
  const octal = (value: number, digits: number, at: number): void => {
    block.write(`${Math.floor(value).toString(8).padStart(digits, '0')}\0`, at, 'latin1')
  }
  block.write(name, 0, 'latin1')
  octal(MODE, 7, 100)
  octal(0, 7, 108) // owner
  octal(0, 7, 116) // group
  octal(size, 11, 124)
  octal(modifiedMs / 1_000, 11, 136)
  block.write('        ', 148, 'latin1') // the checksum counts as blanks while it is made
  block.write('0', 156, 'latin1') // a regular file
  block.write('ustar\x0000', 257, 'latin1')
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}
