import { settledOrAborted } from '../base/abort.ts'
import { KmsError } from './kms.ts'

/**
 * One call to a key service, bounded in time whatever the provider does with its signal. Rejects with the class `timeout`
 * when the time is over or the caller gave up; only the former aborts `call`'s signal with a `KmsError` as its reason.
 */
export async function boundedCall<T>(
  operation: string,
  requestMsMax: number,
  abort: AbortSignal,
  call: (abort: AbortSignal) => Promise<T>,
): Promise<T> {
  const overdue = new AbortController()
  const timer = setTimeout(() => {
    overdue.abort(new KmsError('timeout', operation, `No response after ${requestMsMax}ms`))
  }, requestMsMax)
  const either = AbortSignal.any([abort, overdue.signal])
  try {
    return await settledOrAborted(call(either), either, () =>
      either.reason instanceof KmsError
        ? either.reason
        : new KmsError('timeout', operation, 'gave up waiting'),
    )
  } finally {
    clearTimeout(timer)
  }
}
