// A process of its own, so that the load cannot delay it: asks one URL every 200 ms, and prints for each question when
// it was asked (ms since 1970) and how long its answer took; -1 when none came. Ends when its standard input does.
const [url] = process.argv.slice(2)
const EVERY_MS = 200
const PATIENCE_MS = 30_000

async function ask() {
  const askedMs = Date.now()
  const startMs = performance.now()
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) })
    await answer.arrayBuffer()
    const isUp = answer.status === 200
    console.log(`${askedMs} ${isUp ? Math.round(performance.now() - startMs) : -1}`)
  } catch {
    console.log(`${askedMs} -1`)
  }
}

const timer = setInterval(ask, EVERY_MS)
process.stdin.resume().on('end', () => clearInterval(timer))
