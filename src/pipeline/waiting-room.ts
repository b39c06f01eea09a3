import { SidecarError } from '../base/errors.ts'
import { WAITING_REQUESTS_MAX } from '../base/limits.ts'

/** Bounds how many requests wait for keys at once. */
export function waitingRoom(): () => () => void {
  let waitingCount = 0
  return () => {
    if (waitingCount >= WAITING_REQUESTS_MAX) {
      throw new SidecarError('OVERLOADED', 'too many requests wait for keys', { retryAfterMs: 2_000 })
    }
    waitingCount++
    return () => void waitingCount--
  }
}
