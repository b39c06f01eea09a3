// `betrace keys revoke | retire | shred | rewrap --admin URL`: the same through a running sidecar, for one that cannot be
// stopped and entered. The sidecar acts and answers with facts; what is said of them and the exit code are made here.
import { setTimeout as pause } from 'node:timers/promises'
import { SidecarError } from '../../base/errors.ts'
import { ExitCode, escapeControls } from '../terminal.ts'
import type { KeysArguments } from './arguments.ts'
import { confirm } from './confirm.ts'
import { type KeysIo, notConfirmed, printWrapped } from './output.ts'

/** Longer than a shredding may take, so that its own outcome is what is heard. */
const ANSWER_MS_MAX = 11 * 60_000
const ANSWER_CHARS_MAX = 4 * 1024 * 1024
const POLL_MS = 500

type Answer = Readonly<Record<string, unknown>>

export async function callAdmin(args: KeysArguments, io: KeysIo): Promise<number> {
  const { action, adminUrl = '' } = args
  const sidecar = openSidecar(adminUrl, io.env.ADMIN_TOKEN)
  if (action === 'rewrap') return rewrap(sidecar, io)
  const [tenantId, keyId] = [args.tenant ?? '', args.keyId]
  const about = { tenantId, ...(keyId !== undefined && { keyId }) }
  // First what it is about: a name that was mistyped is found before anybody confirms it.
  const before = await sidecar.ask(action, { ...about, dry_run: true })
  const word = keyId ?? tenantId
  if (!(await confirm(questionOf(args, before), word, args.isConfirmed, io))) return notConfirmed(io)
  const answer = await sidecar.ask(action, { ...about, confirm: word })
  if (action === 'revoke') return tellRevoked(answer, io)
  return action === 'retire' ? tellRetired(answer, io) : tellShredded(answer, io)
}

interface Sidecar {
  /** POSTs to `/api/admin/keys/`; a GET where there is no body. */
  ask(call: string, body?: object): Promise<Answer>
}

function openSidecar(adminUrl: string, token: string | undefined): Sidecar {
  if (token === undefined || token === '')
    throw new SidecarError('USAGE', '--admin needs the sidecar’s token in ADMIN_TOKEN')
  const base = URL.parse(adminUrl)
  if (base === null || !['http:', 'https:'].includes(base.protocol))
    throw new SidecarError('USAGE', '--admin takes the URL of a sidecar, as http://localhost:8080')
  if (base.protocol === 'http:' && !LOOPBACK.has(base.hostname))
    throw new SidecarError(
      'USAGE',
      '--admin takes http to this machine only, since the token crosses in clear',
    )
  return { ask: (call, body) => ask(new URL(`/api/admin/keys/${call}`, base), token, body) }
}

const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]'])

async function ask(url: URL, token: string, body: object | undefined): Promise<Answer> {
  let status: number
  let text: string
  try {
    const response = await fetch(url, {
      method: body === undefined ? 'GET' : 'POST',
      redirect: 'error', // the token must not travel on
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    status = response.status
    text = (await response.text()).slice(0, ANSWER_CHARS_MAX)
  } catch (cause) {
    throw new SidecarError('CONFIG', 'the sidecar does not answer; what was asked of it may be done or not', {
      cause,
    })
  }
  const answer = objectOf(text)
  if (status >= 200 && status < 300) return answer
  const { message } = recordOf(answer.error)
  throw new SidecarError(
    'CONFIG',
    status === 404
      ? `the sidecar has no ${url.pathname}: is it an earlier version, or another server?`
      : `the sidecar answered ${status}: ${escapeControls(typeof message === 'string' ? message : 'without a reason')}`,
  )
}

function questionOf({ action, keyId = '', tenant = '' }: KeysArguments, before: Answer): string {
  const [key, owner] = [escapeControls(keyId), escapeControls(tenant)]
  if (action === 'revoke')
    return `Revoke ${key} of ${owner}: nothing that it signed will count any more, and no key that it endorsed.`
  if (action === 'retire')
    return `End the signing key of ${owner} without a successor: what it signed stays good, and the chain of its keys ends.`
  return `Everything sealed under ${countOf(before.data_keys_covered)} data keys of ${owner} becomes unreadable, for everybody and for good.`
}

function tellRevoked(answer: Answer, io: KeysIo): number {
  const [keyId, ended] = [textOf(answer.keyId), listOf(answer.ended_key_ids)]
  if (typeof answer.removed_record === 'string') {
    printWrapped(io.stdout, `the record of ${keyId} was damaged and is removed`)
    io.stdout.write(`The record, in base64:\n${textOf(answer.removed_record)}\n`)
  } else
    printWrapped(
      io.stdout,
      answer.was_revoked_before === true ? `${keyId} was revoked before` : `revoked ${keyId}`,
    )
  if (ended.length > 0)
    printWrapped(
      io.stdout,
      `ended ${ended.join(', ')}: nobody but the revoked key vouched for it, so what it signed cannot be told to be good either`,
    )
  printWrapped(
    io.stdout,
    typeof answer.key_id_in_use === 'string'
      ? `the tenant goes on signing with ${textOf(answer.key_id_in_use)}`
      : 'the tenant’s next signature makes a first key: hand it to your verifiers',
  )
  return ExitCode.GOOD
}

function tellRetired(answer: Answer, io: KeysIo): number {
  const damaged = listOf(answer.damaged_records)
  for (const record of damaged) io.stderr.write(`betrace keys: record ${record} is damaged\n`)
  printWrapped(
    io.stdout,
    `retired ${listOf(answer.ended_key_ids).join(', ')} of ${textOf(answer.tenantId)}: what it signed stays verifiable, and rotation passes the tenant over. Should the tenant sign again, that makes a first key.`,
  )
  return damaged.length === 0 ? ExitCode.GOOD : ExitCode.FAILED
}

function tellShredded(answer: Answer, io: KeysIo): number {
  const destroyed = listOf(answer.destroyed_secret_ids)
  printWrapped(
    io.stdout,
    `Destroyed ${destroyed.length} secret(s): ${destroyed.join(', ') || 'none was left'}. Data keys that needed them: ${countOf(answer.data_keys_covered)}. Proved: ${countOf(answer.proved)} value(s) sealed under them opened before, and none opens now.`,
  )
  const left: string[] = []
  if (answer.files_written_anew !== true)
    left.push(
      'the data file still has traces of them where it is free: betrace keys shred, given once with the sidecar stopped, writes it anew',
    )
  if (countOf(answer.data_keys_not_covered) > 0)
    left.push(
      `what was sealed under ${countOf(answer.data_keys_not_covered)} data keys made without a secret, ${textOf(answer.not_covered_from)} to ${textOf(answer.not_covered_until)}; the master key opens it`,
    )
  if (countOf(answer.damaged_announcements) > 0)
    left.push(`${countOf(answer.damaged_announcements)} damaged announcements, of which nothing can be told`)
  for (const each of left) printWrapped(io.stderr, `betrace keys: NOT covered: ${each}.`)
  if (typeof answer.own_master_key === 'string')
    printWrapped(
      io.stdout,
      `The tenant has a master key of its own, ${textOf(answer.own_master_key)}: destroy it at the provider, then retire the tenant’s signing key.`,
    )
  if (left.length > 0) return ExitCode.FAILED
  return typeof answer.own_master_key === 'string' ? ExitCode.CANNOT_TELL : ExitCode.GOOD
}

async function rewrap(sidecar: Sidecar, io: KeysIo): Promise<number> {
  let answer = await sidecar.ask('rewrap', {})
  while (answer.status === 'RUNNING') {
    await pause(POLL_MS)
    answer = await sidecar.ask('rewrap')
  }
  for (const failure of Array.isArray(answer.failures) ? answer.failures.map(recordOf) : [])
    printWrapped(
      io.stderr,
      `betrace keys: ${countOf(failure.count)} stay as they were: ${textOf(failure.error_type)}: ${listOf(failure.records).join(', ')}`,
    )
  if (typeof answer.error === 'string') {
    printWrapped(io.stderr, `betrace keys: nothing was rewrapped: ${textOf(answer.error)}`)
    return ExitCode.FAILED
  }
  const [done, total] = [countOf(answer.rewrapped), countOf(answer.total)]
  io.stdout.write(
    `${done} of ${total} keys wrapped anew, ${countOf(answer.were_already)} were already, ${countOf(answer.failed)} failed\n`,
  )
  return countOf(answer.failed) === 0 && answer.is_interrupted !== true ? ExitCode.GOOD : ExitCode.FAILED
}

function objectOf(text: string): Answer {
  try {
    return recordOf(JSON.parse(text))
  } catch {
    return {}
  }
}

function recordOf(value: unknown): Answer {
  // Any object may be read by name; what is not there is undefined.
  return typeof value === 'object' && value !== null ? (value as Answer) : {}
}

const textOf = (value: unknown): string => escapeControls(typeof value === 'string' ? value : '')
const countOf = (value: unknown): number => (typeof value === 'number' ? value : 0)
const listOf = (value: unknown): string[] => (Array.isArray(value) ? value.map(textOf) : [])
