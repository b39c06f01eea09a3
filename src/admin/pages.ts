import { createHash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { runProbe } from './health.ts'
import { ADMIN_DEFAULTS, type AdminProbes, type Summary } from './options.ts'

const STYLE = `
:root { color-scheme: light dark; --up: #0a6b2d; --down: #b00020; --line: #8886; }
@media (prefers-color-scheme: dark) { :root { --up: #6fdc8c; --down: #ff8389; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); }
td.number { font-variant-numeric: tabular-nums; }
.up { color: var(--up); font-weight: 600; }
.down { color: var(--down); font-weight: 600; }
a:focus-visible { outline: 3px solid; outline-offset: 2px; }
`
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64')
const POLICY = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

const LINKS = [
  ['/q/health/ready', 'Readiness'],
  ['/q/health/live', 'Liveness'],
  ['/q/health/started', 'Start-up'],
  ['/q/metrics', 'Metrics'],
] as const

/** `/`: the state of the sidecar for a person, in one page without scripts or anything from elsewhere. */
export function addPages(app: FastifyInstance, probes: AdminProbes): void {
  app.get('/', async (_request, reply) => {
    const ready = await runProbe(probes.health.ready, ADMIN_DEFAULTS.probeMsMax)
    const checks = ready.checks.map(({ name, status, data }) => {
      const facts = Object.entries(data ?? {}).map(([key, value]) => `${key}: ${value}`)
      return `<tr><th scope="row">${escapeHtml(name)}</th><td>${badge(status)}</td><td>${escapeHtml(facts.join(', '))}</td></tr>`
    })
    return reply
      .header('content-security-policy', POLICY)
      .type('text/html; charset=utf-8')
      .send(page(ready.status, checks.join('\n'), figures(probes.summary())))
  })
}

function page(status: 'UP' | 'DOWN', checks: string, rows: string): string {
  const links = LINKS.map(([href, text]) => `<li><a href="${href}">${text}</a></li>`).join('\n')
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="15">
<title>${status} - BeTrace Sidecar</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>BeTrace Sidecar</h1>
<p>Ready for requests: ${badge(status)}</p>
<h2 id="checks">Checks</h2>
<table aria-labelledby="checks">
<thead><tr><th scope="col">Check</th><th scope="col">Status</th><th scope="col">Details</th></tr></thead>
<tbody>
${checks}
</tbody>
</table>
<h2 id="figures">Figures</h2>
<table aria-labelledby="figures">
<tbody>
${rows}
</tbody>
</table>
<h2>More</h2>
<nav aria-label="Machine-readable pages"><ul>
${links}
</ul></nav>
</main>
</body>
</html>
`
}

function figures(summary: Summary): string {
  const ratio = summary.keyHitRatio
  const used = summary.queueBytesMax === 0 ? 0 : (summary.queueBytesUsed / summary.queueBytesMax) * 100
  const rows = [
    ['Version', summary.version],
    ['Running for', duration(summary.uptimeMs)],
    ['Queue', `${mib(summary.queueBytesUsed)} of ${mib(summary.queueBytesMax)} MiB (${used.toFixed(1)} %)`],
    ['Items waiting', String(summary.queuedItems)],
    ['Keys found in the cache', ratio === undefined ? 'none asked for yet' : `${(ratio * 100).toFixed(3)} %`],
  ] as const
  return rows
    .map(
      ([name, value]) => `<tr><th scope="row">${name}</th><td class="number">${escapeHtml(value)}</td></tr>`,
    )
    .join('\n')
}

function badge(status: 'UP' | 'DOWN'): string {
  return `<span class="${status.toLowerCase()}">${status}</span>`
}

function mib(bytes: number): string {
  return (bytes / (1024 * 1024)).toFixed(1)
}

function duration(ms: number): string {
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 1) return `${Math.floor(ms / 1_000)} s`
  const hours = Math.floor(minutes / 60)
  return hours < 1 ? `${minutes} min` : `${hours} h ${minutes % 60} min`
}

/** Text that is safe between tags and inside quoted attributes. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}
