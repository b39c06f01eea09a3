// The wire engine against what it replaces: one strict scan and a splice of two edits per span, over protobufjs decoding
// and encoding the same bytes. Rounds of both alternate in one run, so that a busy machine slows both; the ratio is the
// median over the rounds.
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import protobuf from 'protobufjs'
import { Edits } from '../src/wire/edits.ts'
import { Frame, Place, type ValueType } from '../src/wire/otlp.ts'
import { rangeEquals } from '../src/wire/resources.ts'
import { scan, type Visitor } from '../src/wire/scan.ts'
import { splice } from '../src/wire/splice.ts'
import { stringValue } from '../src/wire/write.ts'
import { makeTraces } from './payload.ts'

export interface BenchResult {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** What `value` is held against; `undefined` where it is only reported. */
  readonly target: string | undefined
  readonly ok: boolean
}

const SPANS = 512
const ROUNDS = 25
const WARM_ROUNDS = 5
/** Each round times so many requests of each kind. */
const REQUESTS_PER_ROUND = 8
const RATIO_MIN = 6

const EDITED_KEYS = ['client.address', 'enduser.id'].map((key) => new TextEncoder().encode(key))
const REPLACEMENT = stringValue(`enc.v1.abcdefghijkl.${'A'.repeat(80)}`)

/** Replaces two attributes of every span, as two rules by key would. */
class TwoEdits implements Visitor {
  readonly buf: Uint8Array
  readonly edits: Edits
  editCount = 0

  constructor(buf: Uint8Array, edits: Edits) {
    this.buf = buf
    this.edits = edits
  }

  enter(_frame: Frame, _start: number, _end: number): void {}
  leave(_frame: Frame, _start: number, _end: number): void {}
  text(_place: Place, _start: number, _end: number): void {}
  scalar(_place: Place, _type: ValueType, _start: number, _end: number, _from: number, _to: number): void {}
  attributeEnd(_depth: number): void {}

  attribute(
    place: Place,
    _depth: number,
    _fieldStart: number,
    _end: number,
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
  ): boolean {
    if (place !== Place.SPAN_ATTRIBUTE) return true
    for (let i = 0; i < EDITED_KEYS.length; i++) {
      if (!rangeEquals(this.buf, keyStart, keyEnd, EDITED_KEYS[i])) continue
      this.edits.replace(valueStart, valueEnd, REPLACEMENT)
      this.editCount++
    }
    return true
  }
}

/** Counts what it hears of: the least that a visitor can do, so the scan's own cost. */
class Counter implements Visitor {
  itemCount = 0
  scalarCount = 0
  enter(frame: Frame, _start: number, _end: number): void {
    if (frame === Frame.ITEM) this.itemCount++
  }
  leave(_frame: Frame, _start: number, _end: number): void {}
  text(_place: Place, _start: number, _end: number): void {}
  attribute(): boolean {
    return false
  }
  scalar(): void {
    this.scalarCount++
  }
  attributeEnd(_depth: number): void {}
}

function loadRequestType(): protobuf.Type {
  const home = dirname(createRequire(import.meta.url).resolve('@elastic/mockotlpserver/package.json'))
  const root = new protobuf.Root()
  root.resolvePath = (_origin, target) => join(home, target)
  root.loadSync('opentelemetry/proto/collector/trace/v1/trace_service.proto')
  return root.lookupType('opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest')
}

function microsecondsPerSpan(run: () => void): number {
  const started = performance.now()
  for (let i = 0; i < REQUESTS_PER_ROUND; i++) run()
  return ((performance.now() - started) * 1000) / (REQUESTS_PER_ROUND * SPANS)
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]
}

/** Runs the wire benchmark and checks, once, that what it times does what it claims. */
export async function runWireBench(): Promise<BenchResult[]> {
  const body = makeTraces({ spans: SPANS, seed: 1 })
  const type = loadRequestType()
  const edits = new Edits()
  const twoEdits = new TwoEdits(body, edits)
  const counter = new Counter()
  const spliced = (): Uint8Array => {
    scan(body, 'traces', twoEdits, edits)
    return splice(body, edits)
  }
  check(body, spliced(), twoEdits.editCount, type)

  const rounds = {
    scan: [] as number[],
    splice: [] as number[],
    reference: [] as number[],
    ratio: [] as number[],
  }
  for (let round = 0; round < WARM_ROUNDS + ROUNDS; round++) {
    const scanUs = microsecondsPerSpan(() => scan(body, 'traces', counter))
    const spliceUs = microsecondsPerSpan(spliced)
    const referenceUs = microsecondsPerSpan(() => type.encode(type.decode(body)).finish())
    if (round < WARM_ROUNDS) continue
    rounds.scan.push(scanUs)
    rounds.splice.push(spliceUs)
    rounds.reference.push(referenceUs)
    rounds.ratio.push(referenceUs / spliceUs)
  }
  const ratio = median(rounds.ratio)
  const reported = (name: string, value: number, unit: string): BenchResult => ({
    name,
    value,
    unit,
    target: undefined,
    ok: true,
  })
  return [
    reported('wire: bytes per span', body.length / SPANS, 'bytes'),
    reported('wire: scan', median(rounds.scan), 'µs/span'),
    reported('wire: scan + splice of two edits', median(rounds.splice), 'µs/span'),
    reported('wire: protobufjs decode + encode', median(rounds.reference), 'µs/span'),
    {
      name: 'wire: protobufjs over scan + splice',
      value: ratio,
      unit: '×',
      target: `≥ ${RATIO_MIN}`,
      ok: ratio >= RATIO_MIN,
    },
  ]
}

function check(before: Uint8Array, after: Uint8Array, editCount: number, type: protobuf.Type): void {
  const counter = new Counter()
  scan(after, 'traces', counter)
  const sealed =
    Buffer.from(type.encode(type.decode(after)).finish())
      .toString('latin1')
      .split('enc.v1.').length - 1
  const isRight =
    editCount === 2 * SPANS && sealed === 2 * SPANS && counter.itemCount === SPANS && after !== before
  if (!isRight) throw new Error('the benchmark does not measure two edits per span')
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const results = await runWireBench()
  for (const { name, value, unit, target, ok } of results) {
    console.log(
      `${name.padEnd(40)} ${value.toFixed(2).padStart(9)} ${unit.padEnd(8)} ${target ?? ''}${ok ? '' : '  MISSED'}`,
    )
  }
  if (results.some((result) => !result.ok)) process.exitCode = 1
}
