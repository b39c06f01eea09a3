// What opens doors. Masked, never sealed: nobody needs a password back from telemetry, and a value that can be opened
// is one that can leak.
import { MASK, type Rule } from '../options.ts'

export const CREDENTIALS: readonly Rule[] = [
  {
    // Header attributes as semconv names them (`http.request.header.<name>`, both spellings of the dash), gRPC metadata,
    // and the bare names under which hand-written instrumentation logs them.
    name: 'credential headers',
    match: {
      key: [
        '*.header.authorization',
        '*.header.proxy?authorization',
        '*.header.cookie',
        '*.header.set?cookie',
        '*.header.x?api?key',
        '*.header.x?auth?token',
        '*.header.x?csrf?token',
        '*.header.x?amz?security?token',
        '*.metadata.authorization',
        '*.metadata.cookie',
        'authorization',
        'proxy-authorization',
        'cookie',
        'set-cookie',
        'x-api-key',
      ],
    },
    action: MASK,
    dataClass: 'credential',
  },
  {
    // Keys that say themselves that they hold a secret. Whole last words only: `output_tokens` is a number of tokens.
    name: 'secrets by key',
    match: {
      field: ['credential', 'card_security'],
    },
    action: MASK,
    dataClass: 'credential',
  },
  {
    name: 'credentials in text',
    match: { detector: ['url_credentials', 'secret_parameter', 'bearer', 'basic', 'jwt'] },
    action: MASK,
    dataClass: 'credential',
  },
]
