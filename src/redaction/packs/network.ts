// Where a caller is. IP addresses are personal data (GDPR recital 30, CJEU C-582/14) and are needed to follow one
// client, so they are pseudonymised. Addresses of our own machines and version numbers stay.
import { HASH, KEEP, type Rule } from '../options.ts'

export const NETWORK: readonly Rule[] = [
  {
    // Windows and browsers have versions with four numbers.
    name: 'versions',
    match: { key: ['*version', '*.version.*'], detector: ['ipv4'] },
    action: KEEP,
  },
  { name: 'versions of libraries', match: { surface: ['version'], detector: ['ipv4'] }, action: KEEP },
  {
    // The server's own side of a connection, and what runs it.
    name: 'infrastructure addresses',
    match: {
      key: [
        'server.address',
        'server.socket.address',
        'destination.address',
        'network.local.address',
        'net.host.*',
        'net.sock.host.*',
        'host.*',
        'k8s.*',
        'container.*',
        'cloud.*',
        'service.instance.id',
        'http.host',
        'http.request.header.host',
        'peer.service',
      ],
      detector: ['ipv4', 'ipv6'],
    },
    action: KEEP,
  },
  {
    name: 'client addresses',
    match: {
      key: [
        'client.address',
        'client.socket.address',
        'source.address',
        'network.peer.address',
        'net.peer.ip',
        'net.sock.peer.addr',
        'http.client_ip',
        'client_ip',
        'client.ip',
        'remote_addr',
        '*.header.x?forwarded?for',
        '*.header.x?real?ip',
        '*.header.forwarded',
        '*.header.true?client?ip',
        '*.header.cf?connecting?ip',
      ],
    },
    action: HASH,
    dataClass: 'ip',
  },
  { name: 'IP addresses', match: { detector: ['ipv4', 'ipv6'] }, action: HASH, dataClass: 'ip' },
]
