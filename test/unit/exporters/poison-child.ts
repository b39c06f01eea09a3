// A process with a store, a drain and one exporter, over a folder that outlives it. What it is asked to do with an entry
// stands in the entry: die over it as a killed process does or by a full heap, work or wait for long, or deliver it.
// Arguments: folder, then the texts of entries to append. Prints a line for each step.
import { appendFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../../src/base/clock.ts'
import { Registry, silentTelemetry } from '../../../src/base/telemetry.ts'
import { AttemptRecord } from '../../../src/exporters/attempt-record.ts'
import { DeadLetter } from '../../../src/exporters/dead-letter.ts'
import { Drain } from '../../../src/exporters/drain.ts'
import { exporterMetrics } from '../../../src/exporters/metrics.ts'
import type { Sender } from '../../../src/exporters/sender.ts'
import { consumerName } from '../../../src/store/queue.ts'
import { Store } from '../../../src/store/store.ts'

const [folder, ...texts] = process.argv.slice(2)
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const { log } = silentTelemetry()

const sender: Sender = {
  id: 'out',
  start: async () => undefined,
  close: async () => undefined,
  async send(_signal, body, _abort, onHandedOver) {
    const text = Buffer.from(body).toString('latin1').trim()
    const what = text.replace('small ', '')
    say(`sending ${text}`)
    if (what.startsWith('kill')) process.kill(process.pid, 'SIGKILL')
    if (what.startsWith('heap')) for (const hoard: unknown[] = []; ; ) hoard.push(new Array(10_000).fill(0.5))
    if (what.startsWith('slow') && !existsSync(join(folder, 'fast'))) await sleep(60_000)
    if (what.startsWith('wait')) {
      onHandedOver?.()
      say(`waiting ${text}`)
      await sleep(60_000)
    }
    appendFileSync(join(folder, 'delivered'), `${text}\n`)
    return { kind: 'ok', rejectedItems: 0, message: '' }
  },
}

const store = await Store.open({ directory: folder }, [{ signal: 'traces', id: sender.id }])
const deadLetter = new DeadLetter({ directory: folder })
await deadLetter.start()
const attempts = new AttemptRecord({ path: join(folder, 'attempts.json'), log, clock: systemClock })
attempts.start()
// Large ones are recorded always; padding makes them so.
const bodyOf = (text: string) => Buffer.from(text.startsWith('small') ? text : text.padEnd(1024 * 1024 + 1))
for (const text of texts) {
  const entry = {
    signal: 'traces' as const,
    itemCount: 1,
    acceptedAtMs: Date.now(),
    body: bodyOf(text),
    refs: Buffer.of(),
  }
  await store.append(entry, []).durable
}
const drain = new Drain({
  source: store,
  sender,
  consumers: new Map([['traces', consumerName('traces', sender.id)]]),
  deadLetter,
  attempts,
  onDropped: async () => undefined,
  metrics: exporterMetrics(new Registry(), [sender.id], store),
  log,
  clock: systemClock,
  random: Math.random,
})
drain.start()
await attempts.tried()
say('started')
while (store.queuedItems > 0) await sleep(5)
attempts.stop()
await drain.stop(100)
await deadLetter.close()
attempts.close()
await store.close()
say('empty')
