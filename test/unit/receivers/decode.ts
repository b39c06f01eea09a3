// Reads our answers back with protobufjs, from the published field numbers, so that no encoder of ours judges itself.
import protobuf from 'protobufjs'

export const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo'

const { root } = protobuf.parse(`syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Duration retry_delay = 1; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message Partial { int64 rejected = 1; string error_message = 2; }
  message Response { Partial partial_success = 1; }
`)

// The shapes above, as protobufjs hands them out.
interface DecodedStatus {
  code: number
  message: string
  details: { typeUrl: string; value: Uint8Array }[]
}
interface DecodedRetryInfo {
  retryDelay: { seconds: unknown; nanos: number }
}

export function decodeStatus(bytes: Uint8Array): {
  code: number
  message: string
  retryDelayMs: number | undefined
} {
  const status = root.lookupType('Status').decode(bytes) as unknown as DecodedStatus
  const detail = status.details.find(({ typeUrl }) => typeUrl === RETRY_INFO)
  const { code, message } = status
  if (!detail) return { code, message, retryDelayMs: undefined }
  const { retryDelay } = root.lookupType('RetryInfo').decode(detail.value) as unknown as DecodedRetryInfo
  return { code, message, retryDelayMs: Number(retryDelay.seconds) * 1_000 + retryDelay.nanos / 1e6 }
}

export function decodeExportResponse(bytes: Uint8Array): { rejectedItems: number; message: string } {
  const response = root.lookupType('Response').decode(bytes) as unknown as {
    partialSuccess?: { rejected: unknown; errorMessage: string }
  }
  const { partialSuccess } = response
  return { rejectedItems: Number(partialSuccess?.rejected ?? 0), message: partialSuccess?.errorMessage ?? '' }
}
