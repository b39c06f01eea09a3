export interface BreakerOptions {
  /** Calls within ten seconds before the share of failures means anything. */
  readonly requestsMin: number
  /** Opens at this share of failures, 1 to 100. */
  readonly failurePercent: number
  readonly openMs: number
  /** Trials that have to succeed, one failure opening it again. As many may be under way at once. */
  readonly successesToClose: number
}

export const BREAKER_DEFAULTS: BreakerOptions = {
  requestsMin: 10,
  failurePercent: 50,
  openMs: 5_000,
  successesToClose: 3,
}
