/** Time comes in through this, so that tests own it. */
export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch; may jump. For records and certificates of time. */
  nowMs(): number
  /** Wall clock, nanoseconds since the Unix epoch. */
  nowNs(): bigint
  /** Monotonic milliseconds with fractions; for ages, deadlines and latency. */
  monotonicMs(): number
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  nowNs: () => BigInt(Date.now()) * 1_000_000n,
  monotonicMs: () => performance.now(),
}
