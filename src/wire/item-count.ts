import { Frame, type Signal } from './otlp.ts'
import { scan, type Visitor } from './scan.ts'

/** Spans, log records or data points of a request. The scan checks it as strictly as any other. */
export function countItems(signal: Signal, body: Uint8Array): number {
  const counter = new ItemCounter()
  scan(body, signal, counter)
  return counter.itemCount
}

class ItemCounter implements Visitor {
  itemCount = 0
  enter(frame: Frame): void {
    if (frame === Frame.ITEM) this.itemCount++
  }
  leave(): void {}
  text(): void {}
  attribute(): boolean {
    return true
  }
  scalar(): void {}
  attributeEnd(): void {}
}
