import type { SidecarError } from './errors.ts'

/** The promise's own outcome, or `failure()` if the signal aborts first. The promise goes on for whoever else has it. */
export function settledOrAborted<V>(
  promise: Promise<V>,
  signal: AbortSignal,
  failure: () => SidecarError,
): Promise<V> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(failure())
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    const forget = (): void => signal.removeEventListener('abort', onAbort)
    promise.then(resolve, reject).finally(forget)
  })
}
