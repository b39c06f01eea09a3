import { defineConfig } from 'vitest/config'

// Real peers: built once into .cache/tools, which takes some minutes the first time.
export default defineConfig({
  test: {
    include: ['test/interop/**/*.test.ts'],
    pool: 'forks',
    // Builds, servers and SDKs share the machine's cores; side by side they only time each other out.
    fileParallelism: false,
    globalSetup: ['test/interop/install-peers.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
})
