// What a service says of itself, made fit for one log line.

const CHARS_MAX = 300
// Bearer tokens are JSON objects in base64; keys are at least 43 characters of it. Names that services use are shorter.
const SECRETS = /\beyJ[A-Za-z0-9_.=-]{8,}|[A-Za-z0-9+_=-]{43,}/g

/** One line without control characters or anything that looks like a token or a key, at most 300 characters. */
export function providerText(text: string): string {
  const line = text
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .replace(SECRETS, '[redacted]')
    .trim()
  return line.slice(0, CHARS_MAX)
}
