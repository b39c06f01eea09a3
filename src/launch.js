#!/usr/bin/env node
// Starts betrace on a Node that can run it. A published package has dist/main.js and needs Node 22.18; a checkout runs
// src/main.ts directly and, where the host's Node is older, hands over to the Node 24 that npm ci has brought along.
// This file itself has to parse on Node 14, or an old host would see a syntax error instead of the reason.
import { existsSync, realpathSync } from 'node:fs'
import module from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const NEEDED = [22, 18]
const source = path.dirname(realpathSync(fileURLToPath(import.meta.url)))
const root = path.dirname(source)
const inCheckout = path.join(source, 'main.ts')
const isCheckout = existsSync(inCheckout)

function isRecent(version) {
  const parts = version.split('.').map(Number)
  return parts[0] > NEEDED[0] || (parts[0] === NEEDED[0] && parts[1] >= NEEDED[1])
}

function bundledNode() {
  const name = `node-${process.platform}-${process.arch}`
  const file = path.join(root, 'node_modules', name, 'bin', 'node')
  return isCheckout && existsSync(file) ? file : undefined
}

async function handOver(node) {
  // Only here: loading it takes 4 ms of each of the two starts that a sidecar makes.
  const { spawn } = await import('node:child_process')
  const child = spawn(node, [path.join(source, 'launch.js')].concat(process.argv.slice(2)), {
    stdio: 'inherit',
    env: Object.assign({}, process.env, { [LAUNCHER]: String(process.pid) }),
  })
  // A service manager signals this process and means the other one. Ctrl-C reaches both through the terminal; without
  // a listener here it would end this one first and leave the other without its parent.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2']) {
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  }
  child.on('error', () => fail('the Node in node_modules cannot be started; run npm ci again'))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    // Die as the child did, so that the caller sees the same.
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

// Whoever ends the process that he started means the sidecar. A kill -9 reaches only this launcher and can be passed on by
// nobody, so the other looks whether its parent is still the one that started it. It then stops as after SIGTERM, with what
// it holds in order. Not by a pipe: starting anew in its own place closes all but the standard three.
const LAUNCHER = 'BETRACE_LAUNCHER_PID'
const LOOK_MS = 250

function endWithLauncher() {
  const launcher = Number(process.env[LAUNCHER])
  delete process.env[LAUNCHER]
  if (!launcher) return
  const timer = setInterval(() => {
    if (process.ppid === launcher) return
    clearInterval(timer)
    process.stderr.write('betrace: the process that started this one is gone; stopping\n')
    process.kill(process.pid, 'SIGTERM')
  }, LOOK_MS)
  timer.unref()
}

// The sidecar's bytes live outside V8's heap, and a young generation of V8's own choosing lets dead ones pile up: at
// 5,000 spans/s, 285 MB resident instead of 179, and 154 with one malloc arena, for the same CPU. Both can only be said
// before the process starts, so it starts once more in its own place (same pid), where the platform can do that.
// The lower bound spares a start the collections while the young generation grows. The third is no matter of memory: on
// SIGUSR1 Node opens an inspector, and whoever reaches that reads keys and plain text.
const LEAN_FLAGS = ['--max-semi-space-size=4', '--min-semi-space-size=4', '--disable-sigusr1']

function isSidecar(args) {
  if (args.length === 0 || args[0] === 'run') return true
  return args[0][0] === '-' && ['--help', '-h', '--version', '-V'].indexOf(args[0]) < 0
}

// What was given by hand stays as it is.
function missingFlags() {
  const given = process.execArgv.concat(process.env.NODE_OPTIONS || '').join(' ')
  return LEAN_FLAGS.filter((flag) => given.indexOf(flag.indexOf('semi-space') >= 0 ? 'semi-space' : flag) < 0)
}

function startLean() {
  const args = [process.execPath].concat(missingFlags(), process.execArgv, process.argv.slice(1))
  process.execve(process.execPath, args, Object.assign({ MALLOC_ARENA_MAX: '1' }, process.env))
}

function fail(message) {
  process.stderr.write(`betrace: ${message}\n`)
  process.exit(1)
}

// Compiled code goes where only this user writes, never into the shared temporary folder.
function enableCompileCache() {
  if (typeof module.enableCompileCache !== 'function' || process.env.NODE_COMPILE_CACHE) return
  const caches = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache')
  module.enableCompileCache(
    isCheckout ? path.join(root, 'node_modules', '.cache', 'betrace') : path.join(caches, 'betrace'),
  )
}

function start(file) {
  try {
    enableCompileCache()
  } catch {
    // Without a home there is no cache; everything else works.
  }
  import(pathToFileURL(file).href).catch((error) => {
    fail(
      process.env.BETRACE_DEBUG === '1'
        ? error.stack
        : `cannot be loaded: ${String(error.message).split('\n')[0]}`,
    )
  })
}

// For this process, and wherever it is not started anew: a listener of ours takes the place of Node's.
if (process.platform !== 'win32') process.on('SIGUSR1', () => {})

if (isRecent(process.versions.node)) {
  if (typeof process.execve === 'function' && isSidecar(process.argv.slice(2)) && missingFlags().length > 0)
    startLean()
  endWithLauncher()
  start(isCheckout ? inCheckout : path.join(root, 'dist', 'main.js'))
} else if (bundledNode()) {
  handOver(bundledNode())
} else {
  fail(
    'needs Node ' +
      NEEDED.join('.') +
      ' or later; this is ' +
      process.versions.node +
      (isCheckout && process.platform === 'linux' ? '. npm ci brings one along' : ''),
  )
}
