/**
 * Work on the stored keys of one tenant, one after the other. Each reads records and writes them back, so two at once would
 * undo one another: a rewrap could bring a revoked key back, and two rotations would fork the chain.
 */
export class TenantTurns {
  readonly #last = new Map<string, Promise<void>>()

  /** The outcome of `work`, which begins when what came before it for this tenant is over. */
  take<T>(tenant: string, work: () => Promise<T>): Promise<T> {
    const result = (this.#last.get(tenant) ?? Promise.resolve()).then(work)
    const over = result.then(forget, forget).then(() => {
      if (this.#last.get(tenant) === over) this.#last.delete(tenant)
    })
    this.#last.set(tenant, over)
    return result
  }
}

const forget = (): void => undefined
