import { readFileSync } from 'node:fs'

/** Named in every request, as OTLP asks: "OTel-OTLP-Exporter-…" is for SDKs, a product name for others. */
export const USER_AGENT = `betrace-sidecar/${packageVersion()}`

function packageVersion(): string {
  try {
    const parsed: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
    const isNamed = typeof parsed === 'object' && parsed !== null && 'version' in parsed
    return isNamed && typeof parsed.version === 'string' ? parsed.version : '0'
  } catch {
    return '0'
  }
}
