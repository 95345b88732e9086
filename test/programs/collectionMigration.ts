/**
 * Migrates the people of a store to a list of each, and stops in the middle: it says
 * so and waits to be killed.
 *
 * Arguments: the path, and after how many people it stops.
 */
import { Effect } from "effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { listing } from "../support/fixtures/people.ts"

const [, , path = "", enough = ""] = process.argv
let migrated = 0

const migrating = listing((value) =>
  Effect.suspend(() => {
    if (migrated++ < Number(enough)) return Effect.succeed([value])
    process.stdout.write("in the middle\n")
    // What keeps the process alive, until it is killed
    return Effect.delay(Effect.never, "1 minute")
  })
)

await Effect.runPromise(Effect.provide(migrating, Store.layer({ path })))
