// JSON that says who may be believed. JSON.parse takes the last of two members of one name and other parsers the first, so
// what it would take is only taken here when there is nothing to choose.
import { SidecarError } from './errors.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

/** Throws USAGE for what is not JSON in UTF-8, or has two members of one name in one object. */
export function parseStrictJson(bytes: Uint8Array): unknown {
  let text: string
  let document: unknown
  try {
    text = strictUtf8.decode(bytes)
    document = JSON.parse(text)
  } catch (cause) {
    throw new SidecarError('USAGE', 'is not JSON', { cause })
  }
  if (hasDoubledMember(text)) throw new SidecarError('USAGE', 'has two members of one name in one object')
  return document
}

/** Of a text that is JSON. */
function hasDoubledMember(text: string): boolean {
  // The names so far of each object that is open, and undefined for each array.
  const open: (Set<string> | undefined)[] = []
  let isName = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      const end = stringEnd(text, at)
      const names = open.at(-1)
      if (isName && names !== undefined) {
        const name = String(JSON.parse(text.slice(at, end)))
        if (names.has(name)) return true
        names.add(name)
        isName = false
      }
      at = end - 1
      continue
    }
    const char = text[at]
    if (char === '{') open.push(new Set())
    else if (char === '[') open.push(undefined)
    else if (char === '}' || char === ']') open.pop()
    if (char === '{' || char === ',') isName = open.at(-1) !== undefined
    else if (char === '[') isName = false
  }
  return false
}

/** Past the closing quote of the string that begins at `at`. */
function stringEnd(text: string, at: number): number {
  for (let end = at + 1; ; end++) {
    const code = text.charCodeAt(end)
    if (code === BACKSLASH) end++
    else if (code === QUOTE) return end + 1
  }
}
