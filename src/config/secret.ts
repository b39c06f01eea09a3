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

// A password is what stands between the first colon and the last @ of the authority; one that is itself full of
// @ or / would otherwise leave its tail behind.
const URL_CREDENTIALS = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s"'<>]*@/gi

/** Replaces user and password of every URL in a text. */
export function maskUrlCredentials(text: string): string {
  return text.replace(URL_CREDENTIALS, `$1${REDACTED}@`)
}
