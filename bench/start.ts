// How long a start takes: from exec to the first answer that says ready, with the local key service, from source.
import { Sidecar } from '../test/interop/sidecar.ts'
import { median } from './report.ts'

const STARTS = 7

/** Median milliseconds; the first start is not counted, since it fills the compile cache. */
export async function benchStart(): Promise<number> {
  const sidecar = await Sidecar.start({
    exporters: (directory) => ({ 'file/out': { path: `${directory}/out.jsonl` } }),
  })
  try {
    const tookMs: number[] = []
    for (let start = 0; start < STARTS; start++) {
      await sidecar.process.stop()
      const startMs = performance.now()
      await sidecar.restart()
      tookMs.push(performance.now() - startMs)
    }
    return median(tookMs)
  } finally {
    await sidecar.remove()
  }
}
