/** Which methods each path knows, to tell 405 from 404. The router itself answers both alike. */
export class RouteTable {
  readonly #routes: { readonly steps: readonly string[]; readonly methods: Set<string> }[] = []

  add(method: string | readonly string[], pattern: string): void {
    const steps = pattern.split('/')
    let route = this.#routes.find((known) => known.steps.join('/') === pattern)
    if (!route) {
      route = { steps, methods: new Set() }
      this.#routes.push(route)
    }
    for (const name of typeof method === 'string' ? [method] : method) route.methods.add(name)
  }

  /** Sorted; empty when no route has this path. */
  methodsAt(url: string): string[] {
    const steps = url.split(/[?#]/, 1)[0]!.split('/')
    const methods = new Set<string>()
    for (const route of this.#routes) {
      if (!matches(route.steps, steps)) continue
      for (const method of route.methods) methods.add(method)
    }
    return [...methods].sort()
  }
}

function matches(pattern: readonly string[], steps: readonly string[]): boolean {
  if (pattern.length !== steps.length) return false
  return pattern.every((step, index) => (step.startsWith(':') ? steps[index] !== '' : step === steps[index]))
}
