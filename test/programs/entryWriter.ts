/**
 * Writes an entry to the journal, and to the server storage, of a store that other processes use too.
 *
 * Arguments: the path, and the label of the entry.
 */
import * as Effect from "effect/Effect"
import { StoreId } from "effect/eventlog/EventLogMessage"
import * as process from "node:process"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store } from "../../src/index.ts"
import { entryAt } from "../support/fixtures/journals.ts"

const [, , path = "", label = ""] = process.argv

const program = Effect.gen(function*() {
  const journal = yield* LmdbEventLog.makeJournal()
  const payload = Buffer.from(label)
  yield* journal.write({ event: "Added", primaryKey: "1", payload, effect: () => Effect.void })
  const storage = yield* LmdbEventLog.makeStorageUnencrypted()
  yield* storage.write(StoreId.make("a"), [entryAt({ msecs: 1000, label })])
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(Store.layer({ path, shared: true }))))
