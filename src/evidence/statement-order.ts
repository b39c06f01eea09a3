// Statements reach the store in the order in which they were signed, or a death between two of them would leave a gap that
// looks like a loss. Who signs and stores in one go keeps that order by itself; who signs in slices holds it meanwhile.

export class StatementOrder {
  #held: Promise<void> | undefined

  /** `undefined` when one may sign now, and give what was signed to the store before anything else runs. Else wait and ask again. */
  get busy(): Promise<void> | undefined {
    return this.#held
  }

  /** Resolves with what ends it: nobody else signs until then. */
  async hold(): Promise<() => void> {
    while (this.#held) await this.#held
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#held = promise
    return () => {
      this.#held = undefined
      resolve()
    }
  }
}
