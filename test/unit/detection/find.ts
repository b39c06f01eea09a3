import { DETECTORS } from '../../../src/detection/detectors.ts'
import { Matches } from '../../../src/detection/engine/matches.ts'
import { scanText, stopTable } from '../../../src/detection/engine/text-scan.ts'

const ALL = (1 << DETECTORS.length) - 1
const STOPS = stopTable(ALL)
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** What all detectors find: names of detectors with exactly what each found. */
export function find(text: string): [string, string][] {
  const bytes = encoder.encode(text)
  const matches = new Matches()
  scanText(bytes, 0, bytes.length, ALL, STOPS, matches)
  return Array.from({ length: matches.count }, (_, i) => [
    DETECTORS[matches.source(i)]!.name,
    decoder.decode(bytes.subarray(matches.start(i), matches.end(i))),
  ])
}

/** What one detector finds; what it finds in two ways comes once. */
export function findBy(detector: string, text: string): string[] {
  const found = find(text).filter(([name]) => name === detector)
  return [...new Set(found.map(([, part]) => part))]
}
