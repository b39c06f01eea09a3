// What a reader wants signatures to cover, against what a signer says that they do (proto/evidence.md §1).
import { StarGlobs } from '../wire/attribute-glob.ts'
import { type Coverage, DEFAULT_COVERAGE } from './statement.ts'

export interface CoverageRequirement {
  /** Keys of span attributes; `undefined`: every attribute. */
  readonly attributes: readonly string[] | undefined
  readonly resourceAttributes: readonly string[]
}

const RESOURCE_PREFIX = 'resource:'

/**
 * `default`: all span attributes and the resource attributes of the default coverage. Otherwise keys with commas between, of
 * span attributes, and of resource attributes where `resource:` stands before. `undefined` for anything else.
 */
export function parseCoverageRequirement(text: string): CoverageRequirement | undefined {
  if (text === 'default')
    return { attributes: undefined, resourceAttributes: DEFAULT_COVERAGE.resourceAttributes }
  const keys = text.split(',')
  if (keys.some((key) => key === '' || key === RESOURCE_PREFIX)) return undefined
  const isResource = (key: string): boolean => key.startsWith(RESOURCE_PREFIX)
  return {
    attributes: keys.filter((key) => !isResource(key)),
    resourceAttributes: keys.filter(isResource).map((key) => key.slice(RESOURCE_PREFIX.length)),
  }
}

export function meetsRequirement(coverage: Coverage, required: CoverageRequirement): boolean {
  const { resourceAttributes, mutable } = coverage
  if (!required.resourceAttributes.every((key) => resourceAttributes.includes(key))) return false
  if (required.attributes === undefined) return mutable.length === 0
  const globs = new StarGlobs(mutable)
  return !required.attributes.some((key) => {
    const bytes = Buffer.from(key)
    return globs.match(bytes, 0, bytes.length)
  })
}

/** Whether no span attribute is covered, whatever its key. */
export function coversNoAttribute({ mutable }: Coverage): boolean {
  return mutable.some((glob) => /^\*+$/.test(glob))
}
