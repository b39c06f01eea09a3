// How a finished request leaves: by way of the store and a drain for each exporter, or directly.
import type { Clock } from '../base/clock.ts'
import type { Telemetry } from '../base/telemetry.ts'
import type { SidecarConfig } from '../config/schema.ts'
import type { StatementEmitter } from '../evidence/statement-emitter.ts'
import type { ItemAccounts } from '../pipeline/accounts.ts'
import { type Delivery, DirectDelivery, StoredDelivery } from '../pipeline/delivery.ts'
import type { Processors } from '../pipeline/processors.ts'
import type { Store } from '../store/store.ts'
import { createDirectExporting, createQueuedExporting, type Exporting } from './exporting.ts'

export function createDelivery(
  config: SidecarConfig,
  store: Store | undefined,
  accounts: ItemAccounts,
  emitter: StatementEmitter | undefined,
  processors: Processors,
  around: Telemetry & { readonly clock: Clock },
): { exporting: Exporting; delivery: Delivery } {
  if (!store) {
    const exporting = createDirectExporting(config, around)
    const delivery = new DirectDelivery(async ({ signal, body, itemCount }) => {
      await exporting.send(signal, body, itemCount)
      accounts.exported(signal, itemCount)
    })
    return { exporting, delivery }
  }
  const onDropped = async ({ refs }: { readonly refs: Uint8Array }): Promise<void> =>
    emitter?.writeTombstone(refs, 'dead_letter')
  const delivery = new StoredDelivery({
    store,
    ack: config.storage.ack,
    clock: around.clock,
    retryAfterMs: () => store.retryAfterMs(),
    onFailed: (statements) => processors.evidence?.failed(statements),
    onLost: ({ signal, itemCount }) => accounts.dropped(signal, 'store_failed', itemCount),
  })
  return { exporting: createQueuedExporting(config, store, onDropped, around), delivery }
}
