// The library: what another program may want of us without running the sidecar. Everything here works offline.
export { type ErrorCode, SidecarError } from './base/errors.ts'
export { keysFromJson } from './evidence/listed-keys.ts'
export {
  type BatchFacts,
  type KeyEndorsement,
  type KeyFacts,
  type KeyLookup,
  type SpanVerdict,
  type Verdict,
  Verifier,
  type VerifyingKey,
  type VerifyOptions,
  type VerifySummary,
} from './evidence/verify.ts'
export { jsonToProtobuf, protobufToJson } from './wire/json.ts'
export type { Signal } from './wire/otlp.ts'
