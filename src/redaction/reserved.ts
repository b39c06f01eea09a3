// Attribute names that are ours. From outside they are not to be trusted: who could put a `betrace.key.*` there could
// make plain text look sealed (proto/sealed-value.md §3).
import { ANNOUNCEMENT_KEY_PREFIX } from '../formats/announcement.ts'
import { SIGNATURE_KEY_PREFIX, STATEMENT_KEY_PREFIX } from '../formats/signature-keys.ts'
import { hasText } from '../formats/token-bytes.ts'
import { Place } from '../wire/otlp.ts'
import { Reserved } from './attribute-key-cache.ts'

const REDACTION_PREFIX = 'redaction.'

/**
 * What the attribute name [start, end) is to us. `span.signature*` on a span and `betrace.statement.*` on its resource are
 * evidence's to judge: it keeps what verifies and removes the rest, so detectors must not change a byte of it. Anywhere else nobody looks at it later, and
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
  if (!evidenceFollows) return Reserved.NO
  const isEvidence =
    (place === Place.SPAN_ATTRIBUTE && hasText(buf, start, end, SIGNATURE_KEY_PREFIX)) ||
    (place === Place.RESOURCE_ATTRIBUTE && hasText(buf, start, end, STATEMENT_KEY_PREFIX))
  return isEvidence ? Reserved.SIGNATURE : Reserved.NO
}
