/**
 * Runs tests of stores, transactions, collections and ports on PostgreSQL in place of LMDB: `npm run test:postgres`.
 *
 * Files with tests that look at LMDB or its files, or that start other programs on LMDB, are left out. In files of the ports
 * with only a few of them, these tests are left out by their names. test/postgres/ports.test.ts has what two processes do.
 */
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import shared from "../../vitest.config.ts"

/** Tests that damage records in files of LMDB. */
const damaged = [
  "a damaged (circuit|limit) begins again",
  "come from a record that is damaged",
  "do not come from a damaged",
  "a failed element that is damaged",
  "an element that is damaged and has not failed",
  "a damaged element is passed over",
  "an element whose key is damaged is passed over",
  "a settled element whose key is damaged"
]

/** Tests that read files of LMDB, or for which a value must not fit into one. */
const files = [
  "come from a value that does not fit into the file",
  "are deleted when the store is opened again, also if no program opens the port",
  "the file stays as it is while elements come and go"
]

/** Tests that start other programs on LMDB. */
const programs = [
  "share a circuit exactly: no failure is lost",
  "lose nothing when they modify the same value",
  "are kept together if the process is killed after the write",
  "streams what other processes write, and numbers on"
]

/** Tests in which a store knows which openings have ended. */
const openings = ["what an opening of the store that has ended has left"]

/** Tests that advance a test clock while a read may still wait for the server. */
const clocks = ["waits until the limit permits the call", "is renewed while the call runs"]

const leftOut = [...damaged, ...files, ...programs, ...openings, ...clocks]

// Not merged: that would add the files to those of the whole suite.
export default defineConfig({
  test: {
    ...shared.test,
    root: fileURLToPath(new URL("../..", import.meta.url)),
    include: [
      "test/transaction/{contendedExpiry,crowd,nestedFailure,outliving,retry,rollback,serial,sharedCommits}.test.ts",
      "test/transaction/{step,waitingReads}.test.ts",
      "test/collection/{expiry,expiryProlonged,keys,service,values}.test.ts",
      "test/store/{badArguments,watch}.test.ts",
      "test/ports/{circuitBreaker,circuitBreakerModel,durableQueue,eventJournal,eventJournalStore,eventLogServer}.test.ts",
      "test/ports/{eventLogServerStore,failedElements,keyValueStore,persistedQueue,persistedQueueLeases}.test.ts",
      "test/ports/{persistedQueueModel,persistedQueueStore,persistence,pollInterval,rateLimiter,rateLimiterModel,severalStores}.test.ts",
      "test/ports/cluster/{messageStorage,runnerStorage,shardOwnership,singleRunner}.test.ts"
    ],
    testNamePattern: new RegExp(`^(?!.*(${leftOut.join("|")}))`),
    setupFiles: ["test/support/onPostgres.ts"]
  }
})
