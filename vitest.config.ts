import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // The engine is native code: a process for each file, so that no file can take another along
    pool: "forks",
    testTimeout: 30_000,
    hookTimeout: 60_000
  }
})
