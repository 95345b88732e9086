import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"
import { compileCache } from "./test/support/compileCache.ts"
import { SlowFirst } from "./test/support/slowFirst.ts"
import { testLimit } from "./test/support/timeLimits.ts"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // The processes of the tests, and those that they start, find their modules compiled
    globalSetup: "test/support/compileCache.ts",
    env: { NODE_COMPILE_CACHE: compileCache },
    // The engine is native code: if it ends a process, it takes only the file along that this process is running
    pool: "forks",
    // A process runs one file after another. To start and to load Effect takes longer than most files
    isolate: false,
    // Node loads the sources and tests itself, as it does in a program. What Vite makes of them runs slower
    experimental: { viteModuleRunner: false, nodeLoader: false },
    // A test waits for the disk and for child processes as much as it computes: three files for two cores
    maxWorkers: Math.ceil(1.5 * availableParallelism()),
    sequence: { sequencer: SlowFirst },
    testTimeout: testLimit,
    hookTimeout: testLimit
  }
})
