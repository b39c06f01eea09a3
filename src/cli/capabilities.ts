// What this build can do, as `components` lists it.

import { KMS_PROVIDERS } from '../config/read-kms.ts'
import { DETECTORS } from '../detection/detectors.ts'
import { PACKS } from '../redaction/packs/packs.ts'

export interface Component {
  readonly name: string
  readonly summary: string
}

/** What a build consists of: kind (`receivers`, `detectors`, `kms providers` …) → its components. */
export type ComponentTable = ReadonlyMap<string, readonly Component[]>

const KMS_SUMMARIES: Record<(typeof KMS_PROVIDERS)[number], string> = {
  local: 'a key file beside the data; for development',
  aws: 'AWS KMS',
  vault: 'HashiCorp Vault or OpenBao, Transit engine',
  gcp: 'Google Cloud KMS',
  azure: 'Azure Key Vault',
}

const component = (name: string, summary: string): Component => ({ name, summary })

/** Kind → what there is of it. */
export const BUILD_COMPONENTS: ComponentTable = new Map([
  ['receivers', [component('otlp', 'OTLP over gRPC, HTTP/protobuf and HTTP/JSON: traces, logs, metrics')]],
  [
    'processors',
    [
      component('pii', 'finds personal data and seals, hashes, masks or drops it'),
      component('signing', 'signs compliance spans, so that a stranger can check them offline'),
    ],
  ],
  [
    'exporters',
    [
      component('otlp_grpc', 'OTLP over gRPC; also named otlp'),
      component('otlp_http', 'OTLP over HTTP/protobuf; also named otlphttp'),
      component('file', 'OTLP/JSON, one request a line, rotating'),
      component('debug', 'to standard error'),
    ],
  ],
  ['detectors', DETECTORS.map(({ name, description }) => component(name, description))],
  [
    'actions',
    [
      component('encrypt', 'AES-256-GCM under a data key of the tenant; reveal opens it'),
      component('hash', 'a pseudonym: the same value of the same tenant gives the same text'),
      component('mask', 'fixed text, or the first or last characters kept'),
      component('drop', 'the attribute is removed'),
      component('keep', 'the value stays, whatever later rules say'),
    ],
  ],
  ['rule packs', PACKS.map(({ name, description }) => component(name, description))],
  ['kms providers', KMS_PROVIDERS.map((name) => component(name, KMS_SUMMARIES[name]))],
  [
    'signing algorithms',
    [
      component('ed25519-merkle-v1', 'one Ed25519 signature per batch over a Merkle tree'),
      component('hmac-sha256', 'for closed systems: who can check can also forge'),
    ],
  ],
])
