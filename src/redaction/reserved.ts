// Attribute names that are ours. From outside they are not to be trusted: who could put a `betrace.key.*` there could
// make plain text look sealed (proto/sealed-value.md §3).
import { ANNOUNCEMENT_KEY_PREFIX } from '../formats/announcement.ts'
import { hasText } from '../formats/token-bytes.ts'
import { Place } from '../wire/otlp.ts'
import { Reserved } from './attribute-key-cache.ts'

const REDACTION_PREFIX = 'redaction.'
const SIGNATURE_PREFIX = 'span.signature'

/**
 * What the attribute name [start, end) is to us. `span.signature*` on a span is evidence's to judge: it keeps one that
 * verifies and removes the rest, so detectors must not change a byte of it. Anywhere else nobody looks at it later, and
 * it is an attribute like others.
 */
export function reservedKind(
  place: Place,
  buf: Uint8Array,
  start: number,
  end: number,
  evidenceFollows: boolean,
): Reserved {
  if (hasText(buf, start, end, ANNOUNCEMENT_KEY_PREFIX)) return Reserved.ANNOUNCEMENT
  if (hasText(buf, start, end, REDACTION_PREFIX)) return Reserved.REMOVED
  const isEvidence = evidenceFollows && place === Place.SPAN_ATTRIBUTE
  return isEvidence && hasText(buf, start, end, SIGNATURE_PREFIX) ? Reserved.SIGNATURE : Reserved.NO
}
