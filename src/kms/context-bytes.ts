import { type KmsContext, serialiseContext } from '../formats/key-context.ts'
import { KmsError } from './kms.ts'

/** The serialised context, as services that take bytes authenticate it. Throws bad_request for text that has no UTF-8. */
export function contextBytes(context: KmsContext): Uint8Array {
  try {
    return serialiseContext(context)
  } catch (cause) {
    throw new KmsError('bad_request', 'encode_context', 'text is not well-formed Unicode', { cause })
  }
}
