/**
 * Runs workflows on a store that other processes run them on too, until it is killed or its input ends. Prints the process
 * that has run the workflow of the first id.
 *
 * Arguments: `lmdb` or the URL of a PostgreSQL server, the path or the table, the file for what the activities note, the name
 * of the process, the id.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { Shared, sharedOn } from "../support/fixtures/sharedOrders.ts"
import * as PostgresStores from "../support/postgresStore.ts"

const [, , server = "", place = "", file = "", runner = "", id = ""] = process.argv

const program = Effect.gen(function*() {
  const end = yield* Deferred.make<void>()
  process.stdin.once("end", () => Deferred.doneUnsafe(end, Effect.void)).resume()
  const store = yield* server === "lmdb"
    ? Store.make({ path: place, shared: true })
    : PostgresStores.openOn({ table: place }, server)
  yield* Effect.provide(
    Effect.gen(function*() {
      process.stdout.write(`${yield* Shared.execute({ id })}\n`)
      yield* Deferred.await(end)
    }),
    sharedOn(store, { file, runner })
  )
})

// The result alone goes to the standard output.
const log = Logger.layer([Logger.withConsoleError(Logger.formatSimple)])

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(log)))
process.exit(0)
