/**
 * Compacts a list of an encrypted server, stages a second snapshot, and kills itself as soon as that call has returned.
 *
 * Argument: the path.
 */
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as process from "node:process"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store } from "../../src/index.ts"
import { compact, compactionOptions, stageSnapshot, writeMany } from "../support/fixtures/compactions.ts"

const [, , path = ""] = process.argv

const program = Effect.gen(function*() {
  const storage = yield* LmdbEventLog.makeStorageEncrypted({ compaction: compactionOptions })
  yield* writeMany(storage, 6)
  yield* TestClock.adjust("3 hours")
  yield* compact(storage, { keeps: (index) => index % 2 === 1 })
  yield* writeMany(storage, 2)
  yield* TestClock.adjust("3 hours")
  yield* stageSnapshot(storage, { keeps: (index) => index > 2 })
  process.kill(process.pid, "SIGKILL")
})

await Effect.runPromise(
  program.pipe(Effect.scoped, Effect.provide(Store.layer({ path })), Effect.provide(TestClock.layer()))
)
