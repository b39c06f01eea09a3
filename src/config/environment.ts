// `${env:NAME}`, `${env:NAME:-default}`, and `$$` for a dollar sign, inside text values. What is put in is never read
// again for further references, so a value from outside cannot reach other variables.

export interface Expansion {
  readonly text: string
  readonly hasReference: boolean
  /** What is wrong, without ever naming a value. */
  readonly problems: readonly string[]
}

export type Environment = Readonly<Record<string, string | undefined>>

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

/** Expands every reference. An unset variable without a default is a problem and expands to nothing. */
export function expandEnvironment(text: string, env: Environment): Expansion {
  const problems: string[] = []
  let out = ''
  let hasReference = false
  for (let position = 0; position < text.length; ) {
    const dollar = text.indexOf('$', position)
    if (dollar < 0) {
      out += text.slice(position)
      break
    }
    out += text.slice(position, dollar)
    if (text[dollar + 1] === '$') {
      out += '$'
      position = dollar + 2
    } else if (text[dollar + 1] === '{') {
      const close = text.indexOf('}', dollar)
      if (close < 0) {
        problems.push(`has \${ without a closing }; write $$ for a dollar sign`)
        break
      }
      hasReference = true
      out += resolveReference(text.slice(dollar + 2, close), env, problems)
      position = close + 1
    } else {
      out += '$'
      position = dollar + 1
    }
  }
  return { text: out, hasReference, problems }
}

function resolveReference(reference: string, env: Environment, problems: string[]): string {
  if (!reference.startsWith('env:')) {
    problems.push(
      `has a \${…} reference of an unknown kind; only \${env:NAME} and \${env:NAME:-default} are known`,
    )
    return ''
  }
  const body = reference.slice('env:'.length)
  const split = body.indexOf(':-')
  const name = split < 0 ? body : body.slice(0, split)
  if (!NAME.test(name)) {
    problems.push(`has \${env:…} with a name that is not letters, digits and underscores`)
    return ''
  }
  const value = Object.hasOwn(env, name) ? env[name] : undefined
  // As in a shell, :- also stands in for a variable that is set but empty.
  if (split >= 0) return value === undefined || value === '' ? body.slice(split + 2) : value
  if (value === undefined) {
    problems.push(
      `needs the environment variable ${name}, which is not set; \${env:${name}:-default} gives a default`,
    )
    return ''
  }
  return value
}
