/**
 * Opens the prices of a store in cents, while another process may have them open in euros.
 * Prints the reason for which that fails.
 *
 * Arguments: the path, and the price at which the migration fails.
 */
import { Effect } from "effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { centsUntil } from "../support/fixtures/prices.ts"

const [, , path = "", bad = ""] = process.argv

const opening = Effect.match(centsUntil(Number(bad)), {
  onSuccess: () => "opened",
  onFailure: (error) => error._tag === "CollectionFailed" ? error.reason._tag : error._tag
})

const result = await Effect.runPromise(Effect.provide(opening, Store.layer({ path, shared: true })))
process.stdout.write(`result: ${result}\n`)
