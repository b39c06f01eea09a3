// Everything that comes of the key service: the service behind its breakers, the keys with their caches and their
// rotation, whom we believe, and, since keys must announce what the rules may seal, the processors with them.
import type { Clock } from '../base/clock.ts'
import { loggable } from '../base/errors.ts'
import type { Telemetry } from '../base/telemetry.ts'
import { processorOf, processorSettings } from '../config/pipeline-processors.ts'
import type { SidecarConfig } from '../config/schema.ts'
import type { KeyLookup } from '../evidence/check.ts'
import { Keys } from '../keys/keys.ts'
import type { KeyStore } from '../keys/records/keystore.ts'
import { namedMasterKeys } from '../keys/records/named-master-keys.ts'
import type { Rotation } from '../keys/rotation/rotation.ts'
import { MacKeys } from '../keys/signing/mac-keys.ts'
import { ownKeys, trustedKeys } from '../keys/signing/verifying-keys.ts'
import { AnnouncementTrust } from '../keys/trust/announcement-trust.ts'
import { createPseudonymTrust } from '../keys/trust/pseudonym-trust.ts'
import type { BreakerKms } from '../kms/breaker-kms.ts'
import { createProcessors, type Processors } from '../pipeline/processors.ts'
import type { Store } from '../store/store.ts'
import type { Closers } from './closers.ts'
import { openFormerKms } from './former-kms.ts'
import { createRotation, keysOptions } from './key-options.ts'
import { guardKms, meterKms, openKms } from './kms.ts'

export interface KeyServicesSurroundings extends Telemetry {
  readonly clock: Clock
  readonly env: Readonly<Record<string, string | undefined>>
  /** Opens the key service instead of the configured provider; tests make it fail. */
  readonly openKms?: typeof openKms | undefined
}

export interface KeyServices {
  readonly kms: BreakerKms
  readonly keyStore: KeyStore
  readonly keys: Keys
  readonly rotation: Rotation
  readonly trust: AnnouncementTrust
  readonly processors: Processors
  /** Whose signatures are good: our own, and those of sidecars that the operator trusts. */
  readonly knownKeys: KeyLookup
  readonly macKeys: MacKeys
}

/** Rejects CONFIG, or with what the key service says. What was opened is in `closers`. */
export async function openKeyServices(
  config: SidecarConfig,
  { store, keyStore }: { readonly store: Store | undefined; readonly keyStore: KeyStore },
  surroundings: KeyServicesSurroundings,
  closers: Closers,
): Promise<KeyServices> {
  const { clock, log, registry, env } = surroundings
  const around = { clock, log, registry }
  const open = surroundings.openKms ?? openKms
  const opened = await open(config, env, log, true, () => namedMasterKeys(keyStore, 'local'))
  const kms = guardKms(opened, config, around)
  closers.push(() => kms.close())
  // What is untrusted makes calls too; those neither trip a breaker nor meet one.
  const untrustedKms = meterKms(opened, config, around, true)
  const isUnreachable = (): boolean => keys.status().isUnreachable
  const trust = new AnnouncementTrust({ kms: untrustedKms, store: keyStore, clock, isUnreachable })

  const settings = processorSettings(config)
  const trusted = await trustedKeys(processorOf(config, 'traces', 'signing')?.trustedKeysFile)
  const trustedPseudonymKeys = [...settings.redaction.values()].flatMap((pii) => pii.trustedPseudonymKeys)
  // Asked only once requests come, when the keys below stand.
  const knownKeys: KeyLookup = (...id) => own(...id) ?? trusted(...id)
  const hooks = {
    isTrustedAnnouncement: (kid: string, text: string) => trust.isTrusted(kid, text),
    isTrustedPseudonymKey: createPseudonymTrust(keyStore, trustedPseudonymKeys, clock),
    knownKeys,
  }
  const processors = createProcessors(settings, store, hooks, around)
  const { signedSince } = processors
  const options = await keysOptions(config, processors)
  const keys = new Keys(
    {
      kms,
      store: keyStore,
      clock,
      log,
      registry,
      openFormerKms: () => openFormerKms(config.kms.rewrapFrom, env, log),
    },
    options,
  )
  closers.push(() => keys.close())
  const own = ownKeys(keys, signedSince)
  const rotation = createRotation(config, keys, around)
  closers.push(() => rotation.stop())
  const macKms = meterKms(opened, config, around, false)
  const macKeys = new MacKeys({ kms: macKms, store: keyStore, clock, signedSince }, options)
  return { kms, keyStore, keys, rotation, trust, processors, knownKeys, macKeys }
}

/** Beside the first requests, since there may be many: what is damaged is known by name before its tenant needs it. */
export async function checkRecords(keys: Keys, log: Telemetry['log']): Promise<void> {
  try {
    await keys.checkRecords()
    await keys.openAnnouncements()
  } catch (thrown) {
    log.error(loggable(thrown), 'The key records could not all be looked at')
  }
}
