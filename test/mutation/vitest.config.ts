import { env } from "node:process"
import { defineConfig } from "vitest/config"
import config from "../../vitest.config.ts"

export default defineConfig({
  test: {
    ...config.test,
    // With one process at a time Vitest would give it all files at once
    isolate: true,
    experimental: { viteModuleRunner: true },
    include: env["MUTATION_TESTS"]?.split(",") ?? [],
    // A mutant that keeps a test from ending is as good as found
    testTimeout: 5000,
    hookTimeout: 5000
  }
})
