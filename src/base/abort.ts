// Waiting that ends when an AbortSignal says so.
import type { SidecarError } from './errors.ts'

/** The promise's own outcome, or `failure()` if the signal aborts first. The promise goes on for whoever else has it. */
export function settledOrAborted<V>(
  promise: Promise<V>,
  abort: AbortSignal,
  failure: () => SidecarError,
): Promise<V> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(failure())
    if (abort.aborted) onAbort()
    else abort.addEventListener('abort', onAbort, { once: true })
    const forget = (): void => abort.removeEventListener('abort', onAbort)
    promise.then(resolve, reject).finally(forget)
  })
}

/** Resolves after `ms` milliseconds or when `abort` aborts, whichever is first; never rejects, so callers look again. */
export function pause(ms: number, abort: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (abort.aborted) return resolve()
    const done = (): void => {
      clearTimeout(timer)
      abort.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    abort.addEventListener('abort', done, { once: true })
  })
}
