// JSON of others' making that is no OTLP and goes through the runtime's own parser, which takes the last of two members
// and rounds large integers. What another parser may read otherwise is refused first.
import { SidecarError } from '../base/errors.ts'
import { MESSAGE_DEPTH_MAX } from '../base/limits.ts'
import { JsonLexer } from './json-lexer.ts'
import { malformed } from './reader.ts'

const DEPTH_MAX = 2 * MESSAGE_DEPTH_MAX

/** Throws MALFORMED unless every object has each member once, and every integer keeps its digits in a double. */
export function expectOneReading(json: Uint8Array): void {
  const lexer = new JsonLexer(json)
  /** The containers around, outermost first: of an object, the members that it has had. */
  const open: (Set<string> | undefined)[] = []
  for (;;) {
    if (!beginsFilled(lexer, open)) {
      while (open.length > 0 && !goesOn(lexer, open.at(-1))) open.pop()
    }
    if (open.length === 0) break
  }
  lexer.expectEnd()
}

/** Takes a scalar or an empty container; or begins one and returns true, with its first value next. */
function beginsFilled(lexer: JsonLexer, open: (Set<string> | undefined)[]): boolean {
  if (lexer.atNumber()) {
    const text = lexer.takeNumber()
    // Digits alone, as the lexer has seen to, come out of the runtime's parser as they went in, or not.
    if (/^-?[0-9]+$/.test(text) && text !== '-0' && String(Number(text)) !== text)
      throw malformed('json has an integer that readers round')
    return false
  }
  if (!lexer.atContainer()) {
    lexer.skipOn(Number.POSITIVE_INFINITY)
    return false
  }
  if (open.length === DEPTH_MAX) throw new SidecarError('TOO_DEEP', 'json is nested too deep')
  const isObject = lexer.atObject()
  if (isObject) lexer.beginObject()
  else lexer.beginArray()
  const members = isObject ? new Set<string>() : undefined
  const isFilled = members === undefined ? lexer.nextElement(true) : lexer.nextKey(true)
  if (!isFilled) return false
  open.push(members)
  if (members !== undefined) add(members, lexer)
  return true
}

/** After a value: whether its container has another, which is then next. */
function goesOn(lexer: JsonLexer, members: Set<string> | undefined): boolean {
  if (members === undefined) return lexer.nextElement(false)
  if (!lexer.nextKey(false)) return false
  add(members, lexer)
  return true
}

function add(members: Set<string>, lexer: JsonLexer): void {
  const name = lexer.decodedText()
  if (members.has(name)) throw malformed('json gives a member twice')
  members.add(name)
}
