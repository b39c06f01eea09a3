import { SidecarError } from '../base/errors.ts'
import { KmsError } from '../kms/kms.ts'

/** What a request hears when its key did not come: KEY_UNAVAILABLE with the reason as its cause, or what says more. */
export function asUnavailable(error: SidecarError): SidecarError {
  if (error.code === 'KEY_UNAVAILABLE' || error.code === 'STORE_FAILED' || error.code === 'USAGE')
    return error
  const retryAfterMs = error instanceof KmsError ? error.retryAfterMs : undefined
  return new SidecarError('KEY_UNAVAILABLE', 'no usable key', {
    cause: error,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}
