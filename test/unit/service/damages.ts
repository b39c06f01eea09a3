// What may happen to one file, done to it.
import { copyFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'

export const DAMAGES = ['missing', 'empty', 'cut', 'garbage', 'a folder', 'of another'] as const
export type Damage = (typeof DAMAGES)[number]

export const GARBAGE = Buffer.from(Array.from({ length: 300 }, (_, index) => (index * 37) & 255))

/** `another` is a whole file of the same kind that belongs to somebody else. */
export function damageFile(path: string, damage: Damage, another: string): void {
  const { length } = readFileSync(path)
  switch (damage) {
    case 'missing':
      rmSync(path)
      break
    case 'empty':
      truncateSync(path, 0)
      break
    case 'cut':
      truncateSync(path, length >> 1)
      break
    case 'garbage':
      writeFileSync(path, GARBAGE)
      break
    case 'a folder':
      rmSync(path)
      mkdirSync(path)
      break
    case 'of another':
      copyFileSync(another, path)
  }
}
