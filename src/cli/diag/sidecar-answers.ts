// What a running sidecar says of itself over its admin endpoint, as files.
import { asSidecarError, SidecarError } from '../../base/errors.ts'

/** A file of the bundle, or why it is not there. */
export interface Collected {
  readonly name: string
  readonly text: string | undefined
  readonly problem: string | undefined
}

export interface AnswerOptions {
  readonly url: string
  /** `undefined`: the calls that need it are left out. */
  readonly token: string | undefined
  /** Also runs the five tests of the key service, which are calls to it. */
  readonly isValidating: boolean
}

const ANSWER_BYTES_MAX = 16 * 1024 * 1024
const ANSWER_MS_MAX = 10_000
const VALIDATION_MS_MAX = 60_000

interface Question {
  readonly name: string
  readonly path: string
  readonly method?: 'POST'
  readonly needsToken?: true
  readonly msMax?: number
}

const QUESTIONS: readonly Question[] = [
  { name: 'health.json', path: '/q/health' },
  { name: 'metrics.txt', path: '/q/metrics' },
  { name: 'kms-status.json', path: '/api/admin/kms/status', needsToken: true },
]
const VALIDATION: Question = {
  name: 'kms-validation.json',
  path: '/api/admin/kms/validate',
  method: 'POST',
  needsToken: true,
  msMax: VALIDATION_MS_MAX,
}

export function askSidecar(options: AnswerOptions): Promise<Collected[]> {
  const questions = options.isValidating ? [...QUESTIONS, VALIDATION] : QUESTIONS
  return Promise.all(questions.map((question) => ask(question, options)))
}

async function ask(question: Question, { url, token }: AnswerOptions): Promise<Collected> {
  const { name, path, method = 'GET', needsToken = false, msMax = ANSWER_MS_MAX } = question
  if (needsToken && token === undefined) return { name, text: undefined, problem: 'no ADMIN_TOKEN is set' }
  try {
    const answer = await fetch(new URL(path, url), {
      method,
      redirect: 'error', // the token must not travel on
      signal: AbortSignal.timeout(msMax),
      headers: needsToken ? { authorization: `Bearer ${token}` } : {},
    })
    const text = await readBounded(answer)
    // A health answer of 503 is the very thing that is looked for.
    const isAnswer = answer.ok || (answer.status === 503 && path.startsWith('/q/health'))
    return { name, text, problem: isAnswer ? undefined : `the sidecar answered ${answer.status}` }
  } catch (thrown) {
    return { name, text: undefined, problem: problemOf(thrown) }
  }
}

async function readBounded(answer: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length
    if (bytes > ANSWER_BYTES_MAX) throw new SidecarError('TOO_LARGE', 'the answer is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function problemOf(thrown: unknown): string {
  const error = asSidecarError(thrown)
  if (error.code !== 'INTERNAL') return error.message
  const { cause } = error
  if (cause instanceof Error && cause.name === 'TimeoutError') return 'the sidecar did not answer in time'
  // fetch says "fetch failed"; the system's code stands in its cause.
  const reason = cause instanceof Error ? cause.cause : undefined
  const code = reason instanceof Error && 'code' in reason ? String(reason.code) : 'unknown'
  return `the sidecar cannot be reached (${code})`
}
