/** What a start that fails has to close again, the last first. */
export type Closers = (() => Promise<unknown>)[]
