// What a token that stands in a free-text field is bound to.
import { Place } from '../wire/otlp.ts'

/** proto/sealed-value.md §5: the attribute key of text that is no attribute. Empty where there are only attributes. */
export const TEXT_KEY: readonly string[] = textKeys()

function textKeys(): string[] {
  const keys = new Array<string>(Object.keys(Place).length).fill('')
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
