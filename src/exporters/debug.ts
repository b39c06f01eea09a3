import type { Writable } from 'node:stream'
import { protobufToJson } from '../wire/json.ts'
import { Frame, type Signal } from '../wire/otlp.ts'
import { scan, type Visitor } from '../wire/scan.ts'
import type { DebugExporterOptions } from './options.ts'
import type { Sender, SendOutcome } from './sender.ts'

const ITEM_NAMES: Readonly<Record<Signal, string>> = {
  traces: 'spans',
  logs: 'log records',
  metrics: 'data points',
}

/** Prints what passes: counts, a line of OTLP/JSON a request, or the same indented. What it prints is already sealed. */
export class DebugExporter implements Sender {
  readonly id: string
  readonly #verbosity: 'basic' | 'normal' | 'detailed'
  readonly #output: Writable

  constructor(id: string, options: DebugExporterOptions, output: Writable) {
    this.id = id
    this.#verbosity = options.verbosity ?? 'basic'
    this.#output = output
  }

  async start(): Promise<void> {}

  async send(signal: Signal, body: Uint8Array, abort: AbortSignal): Promise<SendOutcome> {
    abort.throwIfAborted()
    const text = describe(signal, body, this.#verbosity)
    const { promise, resolve } = Promise.withResolvers<SendOutcome>()
    this.#output.write(`${text}\n`, (failure) => {
      if (failure) resolve({ kind: 'retry', afterMs: undefined, reason: 'write_failed' })
      else resolve({ kind: 'ok', rejectedItems: 0, message: '' })
    })
    return promise
  }

  /** The stream is the caller's and stays open. */
  async close(): Promise<void> {}
}

function describe(signal: Signal, body: Uint8Array, verbosity: 'basic' | 'normal' | 'detailed'): string {
  const { groups, items } = countItems(signal, body)
  const counts = `${signal}: ${groups} resources, ${items} ${ITEM_NAMES[signal]}, ${body.length} bytes`
  if (verbosity === 'basic') return counts
  const json = protobufToJson(body, signal)
  return `${counts}\n${verbosity === 'normal' ? json : JSON.stringify(JSON.parse(json), undefined, 2)}`
}

function countItems(signal: Signal, body: Uint8Array): { groups: number; items: number } {
  let groups = 0
  let items = 0
  const counter: Visitor = {
    enter(frame) {
      if (frame === Frame.RESOURCE_GROUP) groups++
      if (frame === Frame.ITEM) items++
    },
    leave() {},
    text() {},
    attribute: () => true,
    scalar() {},
    attributeEnd() {},
  }
  scan(body, signal, counter)
  return { groups, items }
}
