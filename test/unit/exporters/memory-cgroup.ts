// A memory cgroup of the test's own, where one can be made: version 1 and 2 of the Linux interface.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const MIB = 1024 * 1024
const KINDS = [
  {
    root: '/sys/fs/cgroup/memory',
    limit: 'memory.limit_in_bytes',
    peak: 'memory.max_usage_in_bytes',
    events: 'memory.oom_control',
  },
  { root: '/sys/fs/cgroup', limit: 'memory.max', peak: 'memory.peak', events: 'memory.events' },
] as const

export interface MemoryCgroup {
  /** The file that takes a process in, with all that it starts. */
  readonly procs: string
  /** The most that was used, the page cache of its files included, bytes. */
  peakBytes(): number
  /** How many processes the limit has ended. */
  killedCount(): number
  /** Once it is empty. */
  remove(): void
}

let made = 0

/** `undefined` where none can be made, with the reason printed. */
export function memoryCgroup(mebibytes: number): MemoryCgroup | undefined {
  for (const { root, limit, peak, events } of KINDS) {
    const group = join(root, `betrace-test-${process.pid}-${++made}`)
    try {
      mkdirSync(group)
    } catch {
      continue // not mounted, or not ours to make
    }
    const read = (file: string): string => readFileSync(join(group, file), 'utf8')
    if (isLimited(join(group, limit), mebibytes * MIB))
      return {
        procs: join(group, 'cgroup.procs'),
        peakBytes: () => Number(read(peak)),
        killedCount: () => Number(/^oom_kill (\d+)$/m.exec(read(events))![1]),
        remove: () => rmdirSync(group),
      }
    rmdirSync(group)
  }
  console.info('no memory cgroup can be made here')
  return undefined
}

function isLimited(file: string, bytes: number): boolean {
  if (!existsSync(file)) return false
  try {
    writeFileSync(file, String(bytes))
    return true
  } catch {
    return false
  }
}
