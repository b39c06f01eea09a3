// Exports one large request in one way, and prints by how much memory rose above what it was with the request in it.
// Arguments: file, letter, normal or detailed; a folder; MiB of the request.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { makeTraces } from '../../../bench/payload.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { DeadLetter } from '../../../src/exporters/dead-letter.ts'
import { DebugExporter } from '../../../src/exporters/debug.ts'
import { FileExporter } from '../../../src/exporters/file.ts'

const [how, folder, mebibytes] = process.argv.slice(2)
const part = makeTraces({ spans: 512, seed: 1 })
const body = Buffer.alloc(Math.ceil((Number(mebibytes) * 1024 * 1024) / part.length) * part.length, part)
const peakKib = () => Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1])
const { signal } = new AbortController()

// The peak from here on.
writeFileSync('/proc/self/clear_refs', '5')
const before = peakKib()
if (how === 'letter') {
  const letter = new DeadLetter({ directory: folder })
  await letter.start()
  const entry = {
    sequence: 1,
    signal: 'traces' as const,
    itemCount: 1,
    acceptedAtMs: 0,
    body,
    refs: Buffer.of(),
  }
  await letter.keep(entry, 'out', 'internal', 0)
  await letter.close()
} else if (how === 'file') {
  const file = new FileExporter('file/out', { path: join(folder, 'out.jsonl') }, systemClock)
  await file.start()
  if ((await file.send('traces', body, signal)).kind !== 'ok') throw new Error('not exported')
  await file.close()
} else {
  const output = new Writable({ write: (_piece, _encoding, done) => void setImmediate(done) })
  const verbosity = how === 'detailed' ? 'detailed' : 'normal'
  await new DebugExporter('debug', { verbosity }, output).send('traces', body, signal)
}
process.stdout.write(String(peakKib() - before))
