/**
 * Runs tests of stores, transactions and collections on PostgreSQL in place of LMDB: `npm run test:postgres`.
 *
 * Files with tests that look at LMDB or its files, or that start other programs on LMDB, are left out.
 */
import { fileURLToPath } from "node:url"
import { defineConfig, mergeConfig } from "vitest/config"
import shared from "../../vitest.config.ts"

export default mergeConfig(
  shared,
  defineConfig({
    test: {
      root: fileURLToPath(new URL("../..", import.meta.url)),
      include: [
        "test/transaction/{contendedExpiry,crowd,nestedFailure,outliving,retry,rollback,serial,sharedCommits}.test.ts",
        "test/transaction/{step,waitingReads}.test.ts",
        "test/collection/{expiry,expiryProlonged,keys,service,values}.test.ts",
        "test/store/{badArguments,watch}.test.ts",
        "test/ports/**/*.test.ts"
      ],
      setupFiles: ["test/support/onPostgres.ts"]
    }
  })
)
