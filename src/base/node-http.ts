/**
 * `node:http`, of which an ES import would read every export, and reading `WebSocket` loads the whole of undici: 35 ms of
 * a start (Node 24.21, `bench/start.ts`). Types are imported from `node:http` as usual.
 */
export const http = process.getBuiltinModule('node:http')
