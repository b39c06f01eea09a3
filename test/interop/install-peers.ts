// Before the interop tests, once: builds every peer whose toolchain is here and names those whose toolchain is not.
import { install, missingToolchain, TOOL_NAMES } from './tools.ts'

export default async function installPeers(): Promise<void> {
  for (const name of TOOL_NAMES) {
    if (missingToolchain(name) === undefined) await install(name)
  }
}
