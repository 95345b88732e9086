/**
 * Writes an entry to an event log whose handler counts, and kills itself: `inside` the handler after it has counted, or
 * `after` the write has returned.
 *
 * Arguments: the path, and when.
 */
import * as Effect from "effect/Effect"
import * as EventJournal from "effect/eventlog/EventJournal"
import * as Option from "effect/Option"
import * as process from "node:process"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store } from "../../src/index.ts"
import { openCounts } from "../support/fixtures/journals.ts"

const [, , path = "", when = ""] = process.argv

const kill = (moment: string) => Effect.sync(() => void (moment === when && process.kill(process.pid, "SIGKILL")))

const program = Effect.gen(function*() {
  const counts = yield* openCounts
  const journal = yield* EventJournal.EventJournal
  yield* journal.write({
    event: "Added",
    primaryKey: "1",
    payload: Buffer.from("a"),
    effect: () =>
      counts.update("a", (count) => Option.some(Option.getOrElse(count, () => 0) + 1)).pipe(
        Effect.andThen(kill("inside"))
      )
  })
  yield* kill("after")
})

await Effect.runPromise(
  program.pipe(Effect.provide(LmdbEventLog.layerJournal()), Effect.provide(Store.layer({ path })))
)
