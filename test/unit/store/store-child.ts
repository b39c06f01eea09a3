// A process of its own for the tests of crashes and of the lock: `open` says what opening the folder came to, `load`
// appends without end and prints each sequence once it is durable, so that whoever reads knows what was promised; `drain`
// takes two of three entries away again, in small files, and says which before it does.
import { writeSync } from 'node:fs'
import { SidecarError } from '../../../src/base/errors.ts'
import { Store } from '../../../src/store/store.ts'
import { record } from './record.ts'

const [mode, directory] = process.argv.slice(2)

/** Written before it returns, also while the reader is slow and the pipe is full. */
function say(line: string): void {
  for (let rest = Buffer.from(`${line}\n`); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(1, rest))
    } catch (thrown) {
      if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EAGAIN')) throw thrown
    }
  }
}

async function load(store: Store): Promise<never> {
  for (let i = 0; ; i++) {
    const size = 1 + ((i * 7919) % 60_000)
    const entry = {
      signal: 'traces' as const,
      itemCount: 1,
      acceptedAtMs: 1,
      body: Buffer.alloc(size, size % 251),
      refs: Buffer.of(1),
    }
    const { durable } = store.append(entry, [record(`${store.boot}/${i}`)])
    durable.then((sequence) => say(`${sequence} ${store.boot}/${i} ${size}`))
    if (i % 8 !== 7) continue
    await durable
    if (mode === 'drain') drain(store)
  }
}

let drainedTo = 0
function drain(store: Store): void {
  for (const { sequence } of store.next('traces:next', drainedTo, 8)) {
    drainedTo = sequence
    if (sequence % 3 === 0) continue
    say(`taken ${sequence}`)
    store.ack('traces:next', sequence)
  }
}

try {
  const small = mode === 'drain' ? { segmentBytes: 300_000 } : {}
  const store = await Store.open({ directory, ...small }, [{ signal: 'traces', id: 'next' }])
  say('open')
  if (mode === 'load' || mode === 'drain') await load(store)
  else process.stdin.resume()
} catch (thrown) {
  say(thrown instanceof SidecarError ? thrown.code : String(thrown))
}
