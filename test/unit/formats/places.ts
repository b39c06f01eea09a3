import { namedPlace } from '../../../src/formats/value-place.ts'

/** Where the value of an attribute stands; more keys lead into maps. */
export const attributePlace = (...path: string[]): string => namedPlace(undefined, path)!

/** The ids of what stands in no record. */
export const OUTSIDE = [undefined]
