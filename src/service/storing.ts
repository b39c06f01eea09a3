// Opens the store, with a consumer for each exporter of each signal, and accounts for what leaves it.
import type { Clock } from '../base/clock.ts'
import { SidecarError } from '../base/errors.ts'
import type { Telemetry } from '../base/telemetry.ts'
import type { SidecarConfig } from '../config/schema.ts'
import type { ItemAccounts } from '../pipeline/accounts.ts'
import { Store } from '../store/store.ts'
import { signalsByExporter } from './exporting.ts'

/** `undefined` when storage is off. */
export async function openStore(
  config: SidecarConfig,
  accounts: ItemAccounts,
  around: Telemetry & { clock: Clock },
): Promise<Store | undefined> {
  const { storage } = config
  if (!storage.enabled) return undefined
  const consumers = [...signalsByExporter(config)].flatMap(([id, signals]) =>
    signals.map((signal) => ({ signal, id })),
  )
  const store = await Store.open(storage, consumers, {
    ...around,
    onLeave: (signal, itemCount, isRefused) => {
      if (isRefused) accounts.dropped(signal, 'next_hop_refused', itemCount)
      else accounts.exported(signal, itemCount)
    },
    onCorrupt: (signal, itemCount) => accounts.dropped(signal, 'store_corrupt', itemCount),
  }).catch((thrown: unknown) => {
    throw withSetting(thrown, storage.directory)
  })
  accounts.watchQueue(() => store.queuedItemsBySignal)
  return store
}

/** Who is paged at a failed start reads which setting and which folder it was. */
function withSetting(thrown: unknown, directory: string): unknown {
  if (!(thrown instanceof SidecarError)) return thrown
  const { code, message, cause } = thrown
  const named = code === 'STORE_CORRUPT' && cause instanceof Error ? ` (lost: ${cause.message})` : ''
  return new SidecarError(code, `storage.directory: ${directory}: ${message}${named}`, { cause })
}
