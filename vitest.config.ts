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
    // The engine is native code: a process for each file, so that no file can take another along
    pool: "forks",
    // A test waits for the disk and for child processes as much as it computes: three files for two cores
    maxWorkers: Math.ceil(1.5 * availableParallelism()),
    sequence: { sequencer: SlowFirst },
    testTimeout: testLimit,
    hookTimeout: testLimit
  }
})
