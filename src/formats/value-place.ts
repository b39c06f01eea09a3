// Where a sealed value stands (proto/sealed-value.md §5), as a text that no two places share and that is cheap to keep:
// the number of the place, then the keys from the outermost attribute inwards, each behind its length.
import { strict as assert } from 'node:assert'
import { Place } from '../wire/otlp.ts'

/** Any attribute, in whatever list: collectors move attributes from one to another. */
export const ATTRIBUTE_PLACE = 0

/** Numbers and names of the places that are no attribute. */
const TEXT_PLACES: readonly (readonly [place: Place, number: number, name: string])[] = [
  [Place.SPAN_NAME, 1, 'span.name'],
  [Place.SPAN_TRACE_STATE, 2, 'span.trace_state'],
  [Place.SPAN_STATUS_MESSAGE, 3, 'span.status_message'],
  [Place.EVENT_NAME, 4, 'event.name'],
  [Place.LINK_TRACE_STATE, 5, 'link.trace_state'],
  [Place.SCOPE_NAME, 6, 'scope.name'],
  [Place.SCOPE_VERSION, 7, 'scope.version'],
  [Place.RESOURCE_SCHEMA_URL, 8, 'resource.schema_url'],
  [Place.SCOPE_SCHEMA_URL, 9, 'scope.schema_url'],
  [Place.LOG_BODY, 10, 'log.body'],
  [Place.LOG_SEVERITY_TEXT, 11, 'log.severity_text'],
  [Place.LOG_EVENT_NAME, 12, 'log.event_name'],
  [Place.METRIC_NAME, 13, 'metric.name'],
  [Place.METRIC_DESCRIPTION, 14, 'metric.description'],
  [Place.METRIC_UNIT, 15, 'metric.unit'],
  [Place.ENTITY_SCHEMA_URL, 16, 'entity.schema_url'],
  [Place.ENTITY_TYPE, 17, 'entity.type'],
  [Place.ENTITY_KEY, 18, 'entity.key'],
]

/** By `Place`: what `valuePlace` begins with. */
const HEADS: readonly string[] = headTexts()
const NAMES: ReadonlyMap<number, string> = new Map(TEXT_PLACES.map(([, number, name]) => [number, name]))
const NUMBERS: ReadonlyMap<string, number> = new Map(TEXT_PLACES.map(([, number, name]) => [name, number]))

function headTexts(): string[] {
  const heads = new Array<string>(Object.keys(Place).length).fill(`${ATTRIBUTE_PLACE}/`)
  for (const [place, number] of TEXT_PLACES) heads[place] = `${number}/`
  return heads
}

/** Whether text stands there that is no attribute. A log body is a value, and may hold keys. */
export function isTextPlace(place: Place): boolean {
  return place !== Place.LOG_BODY && HEADS[place] !== HEADS[Place.SPAN_ATTRIBUTE]
}

/** The place itself, before any key. */
export function placeHead(place: Place): string {
  return HEADS[place]
}

/** One key further in. */
export function placeWithin(around: string, key: string): string {
  return `${around}${key.length}:${key}`
}

/** What `placeHead` and `placeWithin` made, taken apart. */
export interface ValuePlace {
  /** ATTRIBUTE_PLACE, or the number of a text. */
  readonly number: number
  readonly path: readonly string[]
}

/** Fails for a text that no place is: only ours come here. */
export function readPlace(text: string): ValuePlace {
  const slash = text.indexOf('/')
  const path: string[] = []
  for (let at = slash + 1; at < text.length; ) {
    const colon = text.indexOf(':', at)
    const end = colon + 1 + Number(text.slice(at, colon))
    assert(colon > at && end > colon && end <= text.length, 'a place is a number and keys with their lengths')
    path.push(text.slice(colon + 1, end))
    at = end
  }
  return { number: Number(text.slice(0, slash)), path }
}

/** A place by its name (`undefined` or 'attribute': an attribute) and the keys inwards; `undefined` for no such place. */
export function namedPlace(name: string | undefined, path: readonly string[]): string | undefined {
  const number = name === undefined || name === 'attribute' ? ATTRIBUTE_PLACE : NUMBERS.get(name)
  const isWhole = number === ATTRIBUTE_PLACE ? path.length > 0 : path.length === 0 || name === 'log.body'
  if (number === undefined || !isWhole) return undefined
  return path.reduce(placeWithin, `${number}/`)
}

/** For people: `customer.email`, `a → b`, `log.body → b`. */
export function placeText(text: string): string {
  const { number, path } = readPlace(text)
  const name = NAMES.get(number)
  return (name === undefined ? path : [`@${name}`, ...path]).join(' → ')
}

export const PLACE_NAMES: readonly string[] = ['attribute', ...NUMBERS.keys()]
