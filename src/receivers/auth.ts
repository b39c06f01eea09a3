// A bearer token that every request must carry. Hashes are compared, in constant time: neither the length nor a common
// prefix of the token shows in the time of an answer, and the token itself is not kept.
import { createHash, timingSafeEqual } from 'node:crypto'
import { SidecarError } from '../base/errors.ts'

export interface AuthOptions {
  /** `undefined`: no token is asked for. */
  readonly bearerToken: string | undefined
}

export const authDefaults: AuthOptions = { bearerToken: undefined }

/** Throws UNAUTHENTICATED unless one of the values is `Bearer <token>`. */
export type Authenticate = (authorization: readonly string[]) => void

/** Throws CONFIG for an empty token: a variable that was not set must not switch authentication off. */
export function createAuthenticate(options: AuthOptions): Authenticate {
  if (options.bearerToken === undefined) return () => {}
  if (options.bearerToken === '') throw new SidecarError('CONFIG', 'auth.bearer_token is empty')
  const wanted = digest(options.bearerToken)
  return (authorization) => {
    // RFC 9110 §11.1: the scheme is case-insensitive, one blank or more, then the token.
    const match = authorization.length === 1 ? /^bearer +([^ ]+) *$/i.exec(authorization[0]!) : null
    if (!match || !timingSafeEqual(digest(match[1]!), wanted)) {
      throw new SidecarError('UNAUTHENTICATED', 'a valid bearer token is needed')
    }
  }
}

function digest(token: string): Uint8Array {
  return createHash('sha256').update(token).digest()
}
