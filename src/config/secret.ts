import { inspect } from 'node:util'

/** What every secret prints as, wherever it is printed. */
export const REDACTED = '[redacted]'

/** A value that no log, error, template string, JSON or `console.log` shows; only `reveal()` hands it out. */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The secret itself. Call it where the secret is used, never where it is stored or passed on. */
  reveal(): string {
    return this.#value
  }

  toString(): string {
    return REDACTED
  }

  toJSON(): string {
    return REDACTED
  }

  [Symbol.toPrimitive](): string {
    return REDACTED
  }

  [inspect.custom](): string {
    return REDACTED
  }
}

const URL = /\b([a-z][a-z0-9+.-]*:\/\/)([^\s"'<>]*)/gi
// A password is what stands between the first colon and the last @ of the authority; one that is itself full of
// @ or / would otherwise leave its tail behind.
const USER = /^.*@/
// Keys of an interface stand in a query under any name, or without one.
const QUERY_VALUE = /([?&;][^=&;#?]*=)([^&;#]+)|(\?)([\w.~%-]+)(?=#|$)|(#)(.+)$/g

/** Replaces user, password, and every value of the query of every URL in a text. */
export function maskUrlCredentials(text: string): string {
  return text.replace(URL, (_, scheme: string, rest: string) => scheme + maskAddressCredentials(rest))
}

/** The same for an address that may stand without a scheme. */
export function maskAddressCredentials(address: string): string {
  const named = address.replace(USER, `${REDACTED}@`)
  return named.replace(
    QUERY_VALUE,
    (_, pair = '', _value, bare = '', _token, hash = '') => `${pair}${bare}${hash}${REDACTED}`,
  )
}

/**
 * What is secret of what `maskUrlCredentials` hides in the URLs of a text, to find it again elsewhere: passwords, users
 * without one, which are tokens, and values of queries.
 */
export function urlCredentials(text: string): string[] {
  return [...text.matchAll(URL)].flatMap(([, , rest = '']) => {
    const password = /^(?:[^:]*:)?(.*)@/.exec(rest)?.[1]
    const values = [...rest.replace(USER, '').matchAll(QUERY_VALUE)].map(
      (match) => match[2] ?? match[4] ?? match[6],
    )
    return [password, ...values].filter((found) => found !== undefined)
  })
}
