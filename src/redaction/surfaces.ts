// The surfaces that rules name, as sets of places, and what a token that stands in a free-text field is bound to.
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

/** proto/sealed-value.md §5: the attribute key of text that is no attribute. Empty where there are only attributes. */
export const TEXT_KEY: readonly string[] = textKeys()

function textKeys(): string[] {
  const keys = new Array<string>(PLACE_COUNT).fill('')
  keys[Place.SPAN_NAME] = '@span.name'
  keys[Place.SPAN_TRACE_STATE] = '@span.trace_state'
  keys[Place.SPAN_STATUS_MESSAGE] = '@span.status_message'
  keys[Place.EVENT_NAME] = '@event.name'
  keys[Place.LINK_TRACE_STATE] = '@link.trace_state'
  keys[Place.SCOPE_NAME] = '@scope.name'
  keys[Place.SCOPE_VERSION] = '@scope.version'
  keys[Place.RESOURCE_SCHEMA_URL] = '@resource.schema_url'
  keys[Place.SCOPE_SCHEMA_URL] = '@scope.schema_url'
  keys[Place.LOG_BODY] = '@log.body'
  keys[Place.LOG_SEVERITY_TEXT] = '@log.severity_text'
  keys[Place.LOG_EVENT_NAME] = '@log.event_name'
  keys[Place.METRIC_NAME] = '@metric.name'
  keys[Place.METRIC_DESCRIPTION] = '@metric.description'
  keys[Place.METRIC_UNIT] = '@metric.unit'
  keys[Place.ENTITY_SCHEMA_URL] = '@entity.schema_url'
  keys[Place.ENTITY_TYPE] = '@entity.type'
  keys[Place.ENTITY_KEY] = '@entity.key'
  return keys
}

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
