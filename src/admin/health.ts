import type { FastifyInstance, FastifyReply } from 'fastify'
import type { HealthCheck, HealthProbe, HealthProbes } from './options.ts'

export interface HealthAnswer {
  readonly status: 'UP' | 'DOWN'
  readonly checks: readonly { name: string; status: 'UP' | 'DOWN'; data?: HealthCheck['data'] }[]
}

/**
 * `/q/health/{live,ready,started}` and their Kubernetes names: 200 UP or 503 DOWN, open to everybody. `?exclude=kms`, which
 * may be repeated, leaves a check out, as Kubernetes' own do: a key service that is down is no reason to take traffic
 * away from who still has keys.
 */
export function addHealth(app: FastifyInstance, probes: HealthProbes, probeMsMax: number): void {
  const routes: readonly (readonly [HealthProbe, readonly string[]])[] = [
    [probes.live, ['/q/health/live', '/livez']],
    [probes.ready, ['/q/health/ready', '/readyz']],
    [probes.started, ['/q/health/started', '/startupz']],
  ]
  for (const [probe, paths] of routes) {
    for (const path of paths)
      app.get<Excluding>(path, async ({ query }, reply) =>
        send(reply, await runProbe(probe, probeMsMax, [query.exclude ?? []].flat())),
      )
  }
  app.get('/q/health', async (_request, reply) => {
    const answers = await Promise.all(
      [probes.live, probes.ready, probes.started].map((probe) => runProbe(probe, probeMsMax)),
    )
    return send(reply, join(answers))
  })
}

interface Excluding {
  readonly Querystring: { readonly exclude?: string | readonly string[] }
}

/**
 * Runs one probe within its time, without the checks that are excluded. A probe that throws or hangs is one check that is
 * down; it never rejects.
 */
export async function runProbe(
  probe: HealthProbe,
  probeMsMax: number,
  exclude: readonly string[] = [],
): Promise<HealthAnswer> {
  const abort = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<readonly HealthCheck[]>((resolve) => {
    timer = setTimeout(() => {
      abort.abort()
      resolve([failed('health check took too long', 'timeout')])
    }, probeMsMax)
  })
  // A probe that fails after its time is up has nobody left to tell.
  const probed = call(probe, abort.signal, exclude)
  const checks = await Promise.race([probed, late]).finally(() => clearTimeout(timer))
  return answerOf(checks.filter(({ name }) => !exclude.includes(name)))
}

async function call(
  probe: HealthProbe,
  abort: AbortSignal,
  exclude: readonly string[],
): Promise<readonly HealthCheck[]> {
  try {
    return await probe(abort, exclude)
  } catch {
    return [failed('health check failed', 'internal')]
  }
}

function failed(error: string, errorType: string): HealthCheck {
  return { name: 'health', isUp: false, data: { error, error_type: errorType } }
}

function answerOf(checks: readonly HealthCheck[]): HealthAnswer {
  return {
    status: checks.every((check) => check.isUp) ? 'UP' : 'DOWN',
    checks: checks.map(({ name, isUp, data }) => ({
      name,
      status: isUp ? 'UP' : 'DOWN',
      ...(data && { data }),
    })),
  }
}

function join(answers: readonly HealthAnswer[]): HealthAnswer {
  const checks = answers.flatMap((answer) => answer.checks)
  return {
    status: checks.every((check) => check.status === 'UP') ? 'UP' : 'DOWN',
    checks,
  }
}

function send(reply: FastifyReply, answer: HealthAnswer): FastifyReply {
  return reply.code(answer.status === 'UP' ? 200 : 503).send(answer)
}
