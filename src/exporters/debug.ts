import type { Writable } from 'node:stream'
import { SidecarError } from '../base/errors.ts'
import { JsonWriter } from '../wire/json.ts'
import { Frame, type Signal } from '../wire/otlp.ts'
import { scan, type Visitor } from '../wire/scan.ts'
import { Indenter } from './indent.ts'
import type { DebugExporterOptions } from './options.ts'
import type { Sender, SendOutcome } from './sender.ts'

const ITEM_NAMES: Readonly<Record<Signal, string>> = {
  traces: 'spans',
  logs: 'log records',
  metrics: 'data points',
}

const PIECE_BYTES = 16 * 1024

/** Prints what passes: counts, a line of OTLP/JSON a request, or the same indented. What it prints is already sealed. */
export class DebugExporter implements Sender {
  readonly id: string
  readonly #verbosity: 'basic' | 'normal' | 'detailed'
  readonly #output: Writable
  #printing: Promise<void> = Promise.resolve()

  constructor(id: string, options: DebugExporterOptions, output: Writable) {
    this.id = id
    this.#verbosity = options.verbosity ?? 'basic'
    this.#output = output
  }

  async start(): Promise<void> {}

  async send(signal: Signal, body: Uint8Array, abort: AbortSignal): Promise<SendOutcome> {
    abort.throwIfAborted()
    // One after the other, since a request is printed in pieces that must not mix.
    const printed = this.#printing.then(() => this.#print(signal, body))
    this.#printing = printed.catch(() => undefined)
    try {
      await printed
    } catch (thrown) {
      if (thrown instanceof SidecarError) throw thrown
      return { kind: 'retry', afterMs: undefined, reason: 'write_failed' }
    }
    return { kind: 'ok', rejectedItems: 0, message: '' }
  }

  /** The stream is the caller's and stays open. */
  async close(): Promise<void> {}

  async #print(signal: Signal, body: Uint8Array): Promise<void> {
    const { groups, items } = countItems(signal, body)
    await this.#write(
      `${signal}: ${groups} resources, ${items} ${ITEM_NAMES[signal]}, ${body.length} bytes\n`,
    )
    if (this.#verbosity === 'basic') return
    const writer = new JsonWriter(body, signal)
    const indenter = this.#verbosity === 'detailed' ? new Indenter() : undefined
    while (!writer.isDone) {
      const piece = Buffer.alloc(PIECE_BYTES)
      const json = piece.subarray(0, writer.fill(piece, 0))
      await this.#write(indenter ? indenter.indent(json) : json)
    }
    await this.#write('\n')
  }

  /** Resolves when the stream has it, so that no more than a piece waits for a slow reader. */
  #write(text: string | Buffer): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#output.write(text, (failure) => (failure ? reject(failure) : resolve()))
    return promise
  }
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
