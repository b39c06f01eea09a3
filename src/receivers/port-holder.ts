// Who listens on a port, where Linux says so: /proc/net/tcp names the socket's inode, and the holder has it among its open
// files. Only processes of the same user, or all for root; nothing elsewhere. For an error message, so nothing here throws.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

const LISTENING = '0A'

/** The processes that listen on a TCP port, by id; empty when that cannot be told. */
export function portHolders(port: number): number[] {
  const sockets = new Set(
    ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => listeningInodes(table, port)),
  )
  if (sockets.size === 0) return []
  return list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => openFiles(pid).some((target) => sockets.has(target)))
    .map(Number)
}

/** What to do about it, for the end of an error line. */
export function holderHint(port: number): string {
  const pids = portHolders(port)
  if (pids.length === 0) return 'address is in use'
  if (pids.includes(process.pid)) return 'address is in use by this process itself'
  const noun = pids.length === 1 ? 'process' : 'processes'
  return `address is in use by ${noun} ${pids.join(' ')}; kill ${pids.join(' ')} ends it in order`
}

// A line: number, local address:port, remote, state, queues, timer, retransmits, uid, timeout, inode.
function listeningInodes(table: string, port: number): string[] {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0')
  return read(table)
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => state === LISTENING && local?.endsWith(`:${hexPort}`) === true)
    .map((fields) => `socket:[${fields[9]}]`)
}

function openFiles(pid: string): string[] {
  const folder = `/proc/${pid}/fd`
  return list(folder).map((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`)
    } catch {
      return ''
    }
  })
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
