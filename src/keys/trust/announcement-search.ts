import { ANNOUNCEMENT_BYTES_MAX, ANNOUNCEMENT_KEY_PREFIX } from '../../formats/announcement.ts'
import { Place, type Signal } from '../../wire/otlp.ts'
import { scan, type Visitor } from '../../wire/scan.ts'

const PREFIX = Buffer.from(ANNOUNCEMENT_KEY_PREFIX)

export interface FoundAnnouncement {
  /** What stands after the prefix of the attribute's key. */
  readonly kid: string
  readonly text: string
}

/** The resource attributes of a request that say they are key announcements. Throws MALFORMED. */
export function findAnnouncements(signal: Signal, body: Uint8Array): FoundAnnouncement[] {
  const found: FoundAnnouncement[] = []
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
  let kid: string | undefined
  /** Where the value of the attribute stands that `kid` is of. */
  let valueAt = 0
  const visitor: Visitor = {
    enter: () => undefined,
    leave: () => undefined,
    text: () => undefined,
    attribute(place, depth, _fieldStart, _end, keyStart, keyEnd, valueStart) {
      const isOne =
        place === Place.RESOURCE_ATTRIBUTE &&
        depth === 0 &&
        bytes.subarray(keyStart, keyEnd).indexOf(PREFIX) === 0
      kid = isOne ? bytes.toString('latin1', keyStart + PREFIX.length, keyEnd) : undefined
      valueAt = valueStart
      return false
    },
    scalar(_place, _type, start, end, valueStart) {
      if (kid !== undefined && valueStart === valueAt && end - start <= ANNOUNCEMENT_BYTES_MAX)
        found.push({ kid, text: bytes.toString('utf8', start, end) })
      kid = undefined
    },
    attributeEnd() {
      kid = undefined
    },
  }
  scan(body, signal, visitor)
  return found
}
