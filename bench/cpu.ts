// What a process has used so far, from /proc: CPU time of all its threads, and memory.
import { readFileSync } from 'node:fs'

/** USER_HZ, the unit of times in /proc. It is 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

export interface Usage {
  /** User and system time of all threads, also those that ended, in microseconds. */
  readonly cpuUs: number
  readonly rssBytes: number
  /** The process's own memory: heap, stacks, buffers. */
  readonly rssAnonBytes: number
  /** Pages of files it maps: program text, and the store's file. */
  readonly rssFileBytes: number
}

export function readUsage(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The program's name may hold spaces and brackets; what follows its last bracket is fields 3 and up (proc(5)).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const bytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024
  return {
    cpuUs: (ticks * 1e6) / TICKS_PER_SECOND,
    rssBytes: bytes('VmRSS'),
    rssAnonBytes: bytes('RssAnon'),
    rssFileBytes: bytes('RssFile'),
  }
}
