// What the AWS SDK throws, in our taxonomy. Names first, then status codes, then whether the SDK calls it retryable.
import { type KmsClass, KmsError } from '../kms.ts'

const CLASS_OF_NAME: ReadonlyMap<string, KmsClass> = new Map(
  Object.entries({
    access_denied: [
      'AccessDenied',
      'AccessDeniedException',
      'UnauthorizedException',
      'NotAuthorized',
      'OptInRequired',
      'UnrecognizedClientException',
      'InvalidClientTokenId',
      'InvalidAccessKeyId',
      'InvalidToken',
      'ExpiredToken',
      'ExpiredTokenException',
      'MissingAuthenticationToken',
      'MissingAuthenticationTokenException',
      'IncompleteSignature',
      'IncompleteSignatureException',
      'InvalidSignatureException',
      'SignatureDoesNotMatch',
      'RequestExpired',
      'RequestTimeTooSkewed',
    ],
    key_disabled: ['DisabledException', 'KMSInvalidStateException'],
    key_not_found: [
      'NotFoundException',
      'InvalidArn',
      'InvalidArnException',
      'InvalidKeyId',
      'InvalidKeyIdException',
    ],
    throttled: [
      'ThrottlingException',
      'Throttling',
      'ThrottledException',
      'RequestThrottled',
      'RequestThrottledException',
      'TooManyRequestsException',
      'RequestLimitExceeded',
      'LimitExceededException',
      'LimitExceeded',
      'SlowDown',
      'BandwidthLimitExceeded',
    ],
    network: [
      'KMSInternalException',
      'InternalFailure',
      'InternalServerError',
      'InternalServiceError',
      'ServiceUnavailable',
      'ServiceUnavailableException',
      'KeyUnavailableException',
      // Credentials come over the network too: from STS, the instance or the container.
      'CredentialsProviderError',
      'TokenProviderError',
    ],
    timeout: [
      'TimeoutError',
      'AbortError',
      'RequestTimeout',
      'RequestTimeoutException',
      'DependencyTimeoutException',
    ],
    invalid_ciphertext: [
      'InvalidCiphertextException',
      'InvalidCiphertext',
      'IncorrectKeyException',
      'IncorrectKey',
    ],
    bad_request: ['ValidationException', 'InvalidKeyUsageException', 'UnsupportedOperationException'],
  } satisfies Partial<Record<KmsClass, readonly string[]>>).flatMap(
    ([kmsClass, names]) => names.map((name) => [name, kmsClass as KmsClass] as const), // the keys are checked by `satisfies`
  ),
)

/** What the SDK calls an answer that names no error, and what it has it say when that says nothing either. */
const UNNAMED = 'Unknown'
const UNSAID = 'UnknownError'

/** Codes of Node that say "late" rather than "broken". */
const TIMEOUT_CODES: ReadonlySet<string> = new Set(['ETIMEDOUT', 'ESOCKETTIMEDOUT'])

/** The parts of an SDK error that are read; all of them may be missing on what is thrown. */
interface Thrown {
  readonly name: string
  readonly message: string
  /** Node's, such as ECONNRESET or DEPTH_ZERO_SELF_SIGNED_CERT. */
  readonly code: string | undefined
  /** 0: no answer was read. */
  readonly status: number
  readonly isFromService: boolean
  readonly isServerFault: boolean
  readonly isRetryable: boolean
  readonly isThrottling: boolean
}

/** `timeoutMs` is what one request may take, for the message. */
export function asAwsKmsError(thrown: unknown, operation: string, timeoutMs: number): KmsError {
  if (thrown instanceof KmsError) return thrown
  const error = readThrown(thrown)
  const kmsClass = classOf(error)
  const message = messageOf(error, kmsClass, timeoutMs)
  // The SDK hangs the raw answer, which may hold a key, on its errors: none of them becomes a cause.
  const cause = new Error(message)
  cause.name = error.name
  return new KmsError(kmsClass, operation, message, { cause })
}

function classOf(error: Thrown): KmsClass {
  // One name for two things: too many grants or calls, and a hint in the text.
  if (/not authorized to perform/i.test(error.message) && error.isFromService) return 'access_denied'
  if (/rate exceeded/i.test(error.message) && error.isFromService) return 'throttled'
  // Before the name: the SDK calls a reset connection TimeoutError too.
  if (error.code !== undefined) return TIMEOUT_CODES.has(error.code) ? 'timeout' : 'network'
  const known = CLASS_OF_NAME.get(error.name)
  if (known !== undefined) return known
  if (error.isThrottling || error.status === 429) return 'throttled'
  // Of an answer that the SDK cannot parse, and that is no refusal in XML either, the status is all that is left.
  if (error.status === 401 || error.status === 403) return 'access_denied'
  if (error.status >= 500 || error.isServerFault || error.isRetryable) return 'network'
  // An answer that was good by its status and could not be read was cut off or is not the service's.
  if (error.status >= 200 && error.status < 300) return 'network'
  return 'bad_request'
}

function messageOf(error: Thrown, kmsClass: KmsClass, timeoutMs: number): string {
  if (kmsClass === 'timeout' && !error.isFromService) {
    if (error.name === 'AbortError') return 'gave up waiting'
    const connectMs = /establish a connection .* (\d+) ms/.exec(error.message)?.[1]
    return connectMs === undefined ? `No response after ${timeoutMs}ms` : `No connection after ${connectMs}ms`
  }
  if (error.isFromService) {
    const said = cleanText(error.message)
    return error.name === UNNAMED ? said : `${cleanText(error.name)}: ${said}`
  }
  if (error.code !== undefined) return `${cleanText(error.code)}: ${cleanText(error.message)}`
  if (CLASS_OF_NAME.has(error.name)) return `${error.name}: ${cleanText(error.message)}`
  // Of a parser's error the message quotes the answer.
  return error.status > 0
    ? `an answer of status ${error.status} that is not the service's`
    : 'unexpected failure of the SDK'
}

const MESSAGE_CHARS_MAX = 500
const SECRET_LIKE = /[A-Za-z0-9+/_]{40,}={0,2}|(?:AKIA|ASIA)[A-Z0-9]{16}/g

/** The first line of a message, without what may be a key, a token or a wrapped key; ARNs stay, since they are needed. */
function cleanText(text: string): string {
  const [line = ''] = text.trim().split(/[\r\n]/, 1)
  return line
    .replace(/[\x00-\x1f\x7f]/g, ' ')
    .slice(0, MESSAGE_CHARS_MAX)
    .split(' ')
    .map((word) =>
      /^arn:aws[a-z-]*:[a-z0-9-]+:/.test(word) ? word : word.replace(SECRET_LIKE, '[redacted]'),
    )
    .join(' ')
}

function readThrown(thrown: unknown): Thrown {
  const error = record(thrown)
  const metadata = record(error.$metadata)
  const response = record(error.$response)
  const retryable = record(error.$retryable)
  const status = metadata.httpStatusCode ?? response.statusCode
  const name = typeof error.name === 'string' ? error.name : 'Error'
  const message = typeof error.message === 'string' ? error.message : ''
  return {
    name,
    message,
    // DOMException has a numeric code, which says nothing here.
    code: typeof error.code === 'string' ? error.code : undefined,
    status: typeof status === 'number' ? status : 0,
    isFromService: typeof error.$fault === 'string' && (name !== UNNAMED || message !== UNSAID),
    isServerFault: error.$fault === 'server',
    isRetryable: error.$retryable !== undefined,
    isThrottling: retryable.throttling === true,
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  // Any object may be read by name; what is not there is undefined.
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
