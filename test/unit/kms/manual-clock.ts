import type { Clock } from '../../../src/base/clock.ts'

/** A clock that moves only when told. */
export class ManualClock implements Clock {
  ms = 1_790_000_000_000
  nowMs(): number {
    return this.ms
  }
  nowNs(): bigint {
    return BigInt(this.ms) * 1_000_000n
  }
  monotonicMs(): number {
    return this.ms
  }
  advance(ms: number): void {
    this.ms += ms
  }
}
