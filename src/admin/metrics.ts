import type { FastifyInstance } from 'fastify'
import type { Registry } from '../base/telemetry.ts'
import { toOpenMetrics } from './open-metrics.ts'

const PROMETHEUS = 'text/plain; version=0.0.4; charset=utf-8'
const OPEN_METRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

/** `/q/metrics` and `/metrics`: Prometheus text, or OpenMetrics for a client that prefers it. Open to everybody. */
export function addMetrics(app: FastifyInstance, registry: Registry): void {
  for (const path of ['/q/metrics', '/metrics']) {
    app.get(path, async (request, reply) => {
      const text = await registry.metrics()
      const isOpen = prefersOpenMetrics(request.headers.accept ?? '')
      reply.header('vary', 'accept').type(isOpen ? OPEN_METRICS : PROMETHEUS)
      return isOpen ? toOpenMetrics(text) : text
    })
  }
}

/** Whether an Accept header ranks OpenMetrics above plain text. A wildcard asks for neither and gets plain text. */
export function prefersOpenMetrics(accept: string): boolean {
  let open = 0
  let plain = 0
  for (const range of accept.toLowerCase().split(',')) {
    const [type, ...parameters] = range.split(';').map((part) => part.trim())
    const quality = qualityOf(parameters)
    if (type === 'application/openmetrics-text') open = Math.max(open, quality)
    if (type === 'text/plain') plain = Math.max(plain, quality)
  }
  return open > 0 && open >= plain
}

function qualityOf(parameters: readonly string[]): number {
  const written = parameters.find((parameter) => parameter.startsWith('q='))
  if (written === undefined) return 1
  const quality = Number(written.slice(2))
  return quality >= 0 && quality <= 1 ? quality : 0
}
