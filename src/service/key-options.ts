// What the configuration says of keys, as `Keys` and the rotation take it.
import { readFile } from 'node:fs/promises'
import type { Clock } from '../base/clock.ts'
import { SidecarError } from '../base/errors.ts'
import type { Telemetry } from '../base/telemetry.ts'
import type { SidecarConfig } from '../config/schema.ts'
import { type GivenPseudonymKeys, parsePseudonymKeys } from '../keys/data/pseudonym-file.ts'
import { KEYS_DEFAULTS, type Keys, type KeysOptions } from '../keys/keys.ts'
import { ROTATION_DEFAULTS, Rotation } from '../keys/rotation/rotation.ts'
import type { Processors } from '../pipeline/processors.ts'
import { requestMsMax } from './kms.ts'

const DAY_MS = 86_400_000

/** Reads `kms.pseudonym_key_file` where it is set. Rejects CONFIG with one line. */
export async function keysOptions(
  config: SidecarConfig,
  processors: Pick<Processors, 'dataClasses' | 'tenantSecret' | 'idsBound' | 'padded'>,
): Promise<KeysOptions> {
  const { cache, request, breaker, rotation, pseudonymKeyFile } = config.kms
  return {
    ...KEYS_DEFAULTS,
    ...cache,
    requestMsMax: requestMsMax(request),
    // A load may be more than one call: a wrapped key, and the secret that goes with it.
    loadMsMax: 2 * requestMsMax(request),
    // When a breaker lets calls through again, nobody's own failures are in the way.
    failureMsMax: Math.min(breaker.openMs, KEYS_DEFAULTS.failureMsMax),
    announcementsMax: config.storage.announcementsMax,
    dataClasses: processors.dataClasses,
    tenantSecret: processors.tenantSecret,
    idsBound: processors.idsBound,
    padded: processors.padded,
    signingKeyAgeMsMax: rotation.ageDaysMax * DAY_MS,
    pseudonymKeys: pseudonymKeyFile === undefined ? undefined : await readPseudonymKeys(pseudonymKeyFile),
  }
}

export function createRotation(
  { kms }: SidecarConfig,
  keys: Keys,
  around: Telemetry & { readonly clock: Clock },
): Rotation {
  const { enabled, checkCron } = kms.rotation
  return new Rotation({ keys, ...around }, { ...ROTATION_DEFAULTS, enabled, checkCron })
}

/** The keys of `kms.pseudonym_key_file`. Rejects CONFIG with one line. */
export async function readPseudonymKeys(path: string): Promise<GivenPseudonymKeys> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw new SidecarError('CONFIG', `kms.pseudonym_key_file: ${path} cannot be read`, { cause })
  }
  return parsePseudonymKeys(text)
}
