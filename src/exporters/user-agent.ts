import { VERSION } from '../base/version.ts'

/** Named in every request, as OTLP asks: "OTel-OTLP-Exporter-…" is for SDKs, a product name for others. */
export const USER_AGENT = `betrace-sidecar/${VERSION}`
