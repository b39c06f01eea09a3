// Every bound of the process in one file, with the reason for its value. Bounds that an operator may move are the
// defaults of configuration; the others are fixed because moving them would weaken a promise.

import type { WorkRate } from './work.ts'

const MIB = 1024 * 1024

/** Largest request body, before and after decompression, bytes. OTLP 1.11 recommends 64 MiB. */
export const REQUEST_BYTES_MAX = 64 * MIB
/**
 * A larger body is worked on in slices, bytes, which costs 7 % more a span. Ordinary batches (512 spans are 470 KB) go
 * the direct way; a body of this size takes a few tenths of a second at the very worst.
 */
export const ONE_GO_BYTES_MAX = 512 * 1024
/**
 * Spans, log records or data points of one request. Each that is signed takes some 17 KB while it is worked on, however
 * small it came, so 64 MiB of small ones would take gigabytes. Twice what a Collector's batches hold by default.
 */
export const ITEMS_PER_REQUEST_MAX = 16_384
/**
 * Resource groups of one request, and scopes: as many as items, since one without an item has nothing to say. Each has
 * its place in our tables however small it came.
 */
export const GROUPS_PER_REQUEST_MAX = ITEMS_PER_REQUEST_MAX
/** Metrics of one request: a data point has one around it, and some have none yet. */
export const METRICS_PER_REQUEST_MAX = 4 * ITEMS_PER_REQUEST_MAX
/** Events of one request, and links: 32 for each item. SDKs keep 128 of a span, and few spans have any. */
export const EVENTS_PER_REQUEST_MAX = 32 * ITEMS_PER_REQUEST_MAX
/**
 * Attributes, entries of kvlists and elements of arrays in one request: 256 for each item, and one for each 16 bytes of
 * the largest body. What is decided about each takes some 100 ns, also where it has no bytes.
 */
export const VALUES_PER_REQUEST_MAX = 256 * ITEMS_PER_REQUEST_MAX
/** … of them in one item, resource or scope. SDKs keep 128 attributes; this leaves room for arrays of numbers. */
export const VALUES_OF_ONE_MAX = 262_144
/**
 * What the edits of one request may hold, against its bytes: 50 bytes of bookkeeping for each and what it puts in, so some
 * 200,000 sealed values in any request, and one for each 75 bytes of a large one. A refused request has held no more.
 */
export const EDIT_MEMORY: WorkRate = { base: 32 * MIB, perByte: 2 }
/**
 * Bytes that redaction may look at, against the bytes of a request: each key and text once or twice, and for a sealed
 * value inside a kvlist the path that it is bound to.
 */
export const REDACTION_WORK: WorkRate = { base: 16 * MIB, perByte: 16 }
/**
 * Bytes that evidence may look at, against the bytes of a request: reading, ordering and hashing a span take some 6, lists
 * inside lists with equal keys up to 2 for each of their 64 levels. The base pays for what 16,384 spans have in front.
 */
export const EVIDENCE_WORK: WorkRate = { base: 48 * MIB, perByte: 160 }
/** Members of one JSON object that our schema does not know; each is remembered, since it may stand once only. */
export const UNKNOWN_MEMBERS_MAX = 64
/** Fields that our schema does not know, and fields in those, that are searched in one request; more are refused. */
export const UNKNOWN_FIELDS_MAX = 2 ** 20
/** Bodies held in memory at once, over all receivers, bytes. Four of the largest. */
export const IN_FLIGHT_BYTES_MAX = 256 * MIB
/** Requests that may wait for a key or for room at once; each also counts its bytes against IN_FLIGHT_BYTES_MAX. */
export const WAITING_REQUESTS_MAX = 4096
/** How long a request without a deadline of its own may wait before it is refused, ms. Exporters time out at 10 s. */
export const REQUEST_WAIT_MS_MAX = 8_000
/**
 * Messages inside one another below the request, in protobuf and JSON alike. Protobuf runtimes refuse more; of values it
 * leaves 46 in one another in lists and 31 in maps, where OTLP needs three.
 */
export const MESSAGE_DEPTH_MAX = 100
/** One question to the open verify endpoint: bytes as sent, and spans. Its answer needs no token, so it gets little. */
export const VERIFY_BYTES_MAX = MIB
export const VERIFY_SPANS_MAX = 1_000
/** Largest answer that we read from a next hop, bytes. OTLP 1.11 caps responses at 4 MiB. */
export const RESPONSE_BYTES_MAX = 4 * MIB
/** Connections and concurrent streams, per receiver. */
export const CONNECTIONS_MAX = 1024
export const STREAMS_PER_CONNECTION_MAX = 256
/** Header and body read timeouts against slow senders, and idle connections, ms. */
export const HEADERS_TIMEOUT_MS = 15_000
export const BODY_TIMEOUT_MS = 60_000
/** A body of which nothing arrives for so long is refused, ms. TCP sends a lost packet again several times within it. */
export const BODY_SILENCE_MS = 5_000
export const IDLE_TIMEOUT_MS = 120_000
/** Queue on disk, bytes. */
export const QUEUE_BYTES_MAX = 1024 * MIB
/** Bytes of the dead-letter file: what a person can still look through. */
export const DEAD_LETTER_BYTES_MAX = 256 * MIB
/** Different tenants that one process serves; each holds keys and a stream. */
export const TENANTS_MAX = 10_000
/** A tenant of which nothing was accepted for so long gives its place to another, and its stream of statements ends, ms. */
export const TENANT_IDLE_MS = 10 * 60_000
/** Tenants in one request. Each may cost several calls to the key service, however few bytes name it. */
export const TENANTS_PER_REQUEST_MAX = 256
/** Of these, how many are loaded at once. */
export const KEY_LOADS_PER_REQUEST_MAX = 16
/** Tenants that get their first keys: so many at once, and so many a second after that, over all requests. */
export const NEW_TENANTS_MAX = 1_000
export const NEW_TENANTS_PER_SECOND = 20
/** Longest tenant id, bytes. It travels in encryption contexts, which services cap at 10 KB. */
export const TENANT_ID_BYTES_MAX = 128
/** Tenants that one metric may name before the rest is counted as "other". */
export const TENANT_LABELS_MAX = 50
/** How long SIGTERM may take before the process gives up flushing and leaves the rest to the queue on disk, ms. */
export const SHUTDOWN_MS_MAX = 25_000
/** A data key is replaced after so many sealed values. GCM with a counter nonce allows far more. */
export const DATA_KEY_USES_MAX = 2 ** 28
/** … and after so many plaintext bytes. */
export const DATA_KEY_BYTES_MAX = 2 ** 36
