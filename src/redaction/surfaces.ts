// The surfaces that rules name, as sets of places.
import { Place } from '../wire/otlp.ts'

export const PLACE_COUNT = Object.keys(Place).length

/** Every place once: a rule without `surface` covers all of them. */
export const SURFACES: ReadonlyMap<string, readonly Place[]> = new Map<string, readonly Place[]>([
  ['resource', [Place.RESOURCE_ATTRIBUTE]],
  ['scope', [Place.SCOPE_ATTRIBUTE]],
  ['span', [Place.SPAN_ATTRIBUTE]],
  ['event', [Place.EVENT_ATTRIBUTE]],
  ['link', [Place.LINK_ATTRIBUTE]],
  ['log', [Place.LOG_ATTRIBUTE]],
  ['body', [Place.LOG_BODY]],
  ['metric', [Place.METRIC_METADATA, Place.METRIC_DESCRIPTION, Place.METRIC_UNIT]],
  ['point', [Place.POINT_ATTRIBUTE]],
  ['exemplar', [Place.EXEMPLAR_ATTRIBUTE]],
  ['name', [Place.SPAN_NAME, Place.EVENT_NAME, Place.LOG_EVENT_NAME, Place.METRIC_NAME, Place.SCOPE_NAME]],
  ['version', [Place.SCOPE_VERSION]],
  ['status', [Place.SPAN_STATUS_MESSAGE]],
  ['trace_state', [Place.SPAN_TRACE_STATE, Place.LINK_TRACE_STATE]],
  ['severity', [Place.LOG_SEVERITY_TEXT]],
  ['schema_url', [Place.RESOURCE_SCHEMA_URL, Place.SCOPE_SCHEMA_URL, Place.ENTITY_SCHEMA_URL]],
  ['entity', [Place.ENTITY_TYPE, Place.ENTITY_KEY]],
])

/** W3C Trace Context §3.3: only the values of list members may change. */
export function isTraceState(place: Place): boolean {
  return place === Place.SPAN_TRACE_STATE || place === Place.LINK_TRACE_STATE
}

const PLAIN = new Set<Place>([
  Place.RESOURCE_SCHEMA_URL,
  Place.SCOPE_SCHEMA_URL,
  Place.ENTITY_SCHEMA_URL,
  Place.METRIC_NAME,
  Place.METRIC_UNIT,
  Place.SPAN_TRACE_STATE,
  Place.LINK_TRACE_STATE,
])

/** Places with a grammar of their own (a URL, an instrument name, a list member): their mask is a bare word. */
export function needsPlainMask(place: Place): boolean {
  return PLAIN.has(place)
}
