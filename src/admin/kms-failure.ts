import type { SidecarError } from '../base/errors.ts'
import { KmsError } from '../kms/kms.ts'

/** A failure as health, status and admin answers print it; the log and the metric say the same class. */
export interface FailureAnswer {
  /** Constant text, fit for everybody. */
  readonly error: string
  /** The class of a key service's failure, else the error's code. */
  readonly error_type: string
  /** The runbook and its anchor; empty where none is about it. */
  readonly help_url: string
}

/** The key service's own failure inside an error; a cache says "no usable key" and names it as the cause. */
export function kmsFailureIn(error: SidecarError): KmsError | undefined {
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    if (each instanceof KmsError) return each
  }
  return undefined
}

export function failureAnswer(error: SidecarError): FailureAnswer {
  const kms = kmsFailureIn(error)
  return kms
    ? { error: kms.message, error_type: kms.kmsClass, help_url: kms.runbook }
    : {
        error: error.code === 'INTERNAL' ? 'internal error' : error.message,
        error_type: error.code,
        help_url: '',
      }
}
