import { defineConfig } from "vitest/config"
import { testLimit } from "./test/support/timeLimits.ts"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // The engine is native code: a process for each file, so that no file can take another along
    pool: "forks",
    // A test waits for the disk and for child processes as much as it computes
    maxWorkers: "100%",
    testTimeout: testLimit,
    hookTimeout: testLimit
  }
})
