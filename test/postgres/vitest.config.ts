/**
 * Runs tests of stores, transactions, collections and ports on PostgreSQL in place of LMDB:
 * `npx vitest run -c test/postgres/vitest.config.ts`. Tests that look at files or at LMDB are left out.
 */
import { fileURLToPath } from "node:url"
import { defineConfig, mergeConfig } from "vitest/config"
import shared from "../../vitest.config.ts"

export default mergeConfig(
  shared,
  defineConfig({
    test: {
      root: fileURLToPath(new URL("../..", import.meta.url)),
      include: ["test/{store,transaction,collection,ports}/**/*.test.ts"],
      setupFiles: ["test/support/onPostgres.ts"]
    }
  })
)
