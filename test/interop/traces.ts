// Reading what a test produced: OTLP/JSON lines, and the search for what must be nowhere.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** The part of OTLP/JSON that these tests look at. */
export interface JsonSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly attributes?: readonly JsonKeyValue[]
  readonly events?: readonly { readonly name: string; readonly attributes?: readonly JsonKeyValue[] }[]
  readonly links?: readonly { readonly spanId: string; readonly attributes?: readonly JsonKeyValue[] }[]
  readonly status?: { readonly message?: string }
}

export interface JsonKeyValue {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}

/** Spans of an OTLP/JSON lines file, by `<trace id>-<span id>`. No file yet is no spans; a torn last line is left out. */
export function readSpans(file: string): Map<string, JsonSpan> {
  const spans = new Map<string, JsonSpan>()
  if (!existsSync(file)) return spans
  const text = readFileSync(file, 'utf8')
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    if (line === '') continue
    // Written by an OTLP/JSON encoder; a test that reads a field of another shape fails on it.
    const request = JSON.parse(line) as { resourceSpans?: { scopeSpans?: { spans?: JsonSpan[] }[] }[] }
    for (const group of request.resourceSpans ?? []) {
      for (const scope of group.scopeSpans ?? []) {
        for (const span of scope.spans ?? []) spans.set(`${span.traceId}-${span.spanId}`, span)
      }
    }
  }
  return spans
}

export function attribute(span: JsonSpan, key: string): Readonly<Record<string, unknown>> | undefined {
  return span.attributes?.find((each) => each.key === key)?.value
}

export function isSigned(span: JsonSpan): boolean {
  return attribute(span, 'span.signature') !== undefined
}

/** Files below `directory` that hold one of the values, as `path: value`. Text, hex, percent-encoded and UTF-16. */
export function findPlain(directory: string, values: readonly string[]): string[] {
  const found: string[] = []
  for (const entry of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const path = join(directory, entry)
    if (!statSync(path).isFile()) continue
    const bytes = readFileSync(path)
    for (const value of values) {
      if (spellings(value).some((each) => bytes.includes(each))) found.push(`${entry}: ${value}`)
    }
  }
  return found
}

function spellings(value: string): Buffer[] {
  const hex = Buffer.from(value).toString('hex')
  return [
    Buffer.from(value),
    Buffer.from(encodeURIComponent(value)),
    Buffer.from(hex),
    Buffer.from(hex.toUpperCase()),
    Buffer.from(value, 'utf16le'),
  ]
}
