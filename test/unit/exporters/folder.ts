import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Clock } from '../../../src/base/clock.ts'
import { Writer } from '../../../src/wire/write.ts'

/** A folder of the running test's own, gone when it ends. */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'betrace-exporters-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** An ExportTraceServiceRequest with one span of this name. */
export function requestOf(name: string): Uint8Array {
  const writer = new Writer()
  const group = writer.open(1)
  const scope = writer.open(2)
  const span = writer.open(2)
  writer.string(5, name)
  writer.close(span)
  writer.close(scope)
  writer.close(group)
  return writer.finish()
}

/** A clock that stands still unless it is told otherwise. */
export function stoppedClock(nowMs = 1_700_000_000_000): Clock & { nowAt: number } {
  const clock = {
    nowAt: nowMs,
    nowMs: () => clock.nowAt,
    nowNs: () => BigInt(clock.nowAt) * 1_000_000n,
    monotonicMs: () => clock.nowAt,
  }
  return clock
}
