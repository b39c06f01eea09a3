// KMS refuses in JSON. Emulators and gateways that stand before it may refuse in XML, of which the SDK keeps nothing: who
// may not do what would be lost, and a throttled call not be tried again. So such an answer is put into KMS's own words.
import type { KMSClient } from '@aws-sdk/client-kms'

/** Of a refusal; what is longer is no refusal, and is not read to its end. */
const REFUSAL_BYTES_MAX = 64 * 1024
const CODE = /<Code>([A-Za-z0-9._-]{1,128})<\/Code>/
const MESSAGE = /<Message>([^<]{1,4096})<\/Message>/
const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['&lt;', '<'],
  ['&gt;', '>'],
  ['&quot;', '"'],
  ['&apos;', "'"],
  ['&#39;', "'"],
  ['&amp;', '&'],
])

/** Has a client read refusals in XML. A good answer is not touched. */
export function readXmlRefusals(client: KMSClient): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      const response = asAnswer(result.response)
      if (response !== undefined && response.statusCode >= 400) {
        const bytes = await readStart(response.body)
        response.body = inJson(bytes) ?? bytes
      }
      return result
    },
    // Below the SDK's own reader, which sees what is made here.
    { step: 'deserialize', priority: 'low', name: 'readXmlRefusals' },
  )
}

interface Answer {
  readonly statusCode: number
  body: AsyncIterable<Uint8Array> | Uint8Array
}

/** `undefined` for what has no body that could be read in pieces. */
function asAnswer(response: unknown): Answer | undefined {
  if (typeof response !== 'object' || response === null) return undefined
  if (!('statusCode' in response) || typeof response.statusCode !== 'number' || !('body' in response))
    return undefined
  const { body } = response
  const isStream = typeof body === 'object' && body !== null && Symbol.asyncIterator in body
  return isStream ? (response as Answer) : undefined // both fields are what was looked for
}

async function readStart(body: Answer['body']): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    chunks.push(chunk)
    length += chunk.length
    if (length >= REFUSAL_BYTES_MAX) break // which closes the connection
  }
  return Buffer.concat(chunks).subarray(0, REFUSAL_BYTES_MAX)
}

/** A refusal as KMS would write it; `undefined` when the bytes are none in XML. */
function inJson(bytes: Uint8Array): Uint8Array | undefined {
  const text = Buffer.from(bytes).toString('utf8')
  const code = /^\s*</.test(text) ? CODE.exec(text)?.[1] : undefined
  const message = MESSAGE.exec(text)?.[1]
  if (code === undefined || message === undefined) return undefined
  return Buffer.from(JSON.stringify({ __type: code, message: decoded(message) }))
}

function decoded(text: string): string {
  return text.replace(/&(?:lt|gt|quot|apos|#39|amp);/g, (entity) => ENTITIES.get(entity)!).trim()
}
