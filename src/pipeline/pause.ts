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
