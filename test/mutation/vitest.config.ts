import { env } from "node:process"
import { defineConfig } from "vitest/config"
import config from "../../vitest.config.ts"

export default defineConfig({
  test: {
    ...config.test,
    // Stryker runs one process at a time. It would get all files at once, and a mutant that hangs would stop them all
    isolate: true,
    experimental: { viteModuleRunner: true },
    include: env["MUTATION_TESTS"]?.split(",") ?? [],
    // A mutant that keeps a test from ending is as good as found
    testTimeout: 5000,
    hookTimeout: 5000
  }
})
