/**
 * Moves credits between two accounts again and again, and notes each transfer in
 * another collection, until it is stopped. Prints a line for each transfer.
 *
 * Arguments: the path, the name of this process, and how many transfers it makes.
 */
import { Effect, Logger } from "effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { transfer } from "../support/fixtures/accounts.ts"

const [, , path = "", name = "", times = "0"] = process.argv

const program = Effect.forEach(Array.from({ length: Number(times) }, (_, number) => number), (number) =>
  Effect.andThen(
    transfer(`${name} ${number}`, number % 2 === 0 ? ["a", "b"] : ["b", "a"], 1 + number % 7),
    Effect.callback<void>((resume) => {
      process.stdout.write(`${number}\n`, () => resume(Effect.void))
    })
  ), { discard: true })

await Effect.runPromise(
  program.pipe(
    Effect.provide(Store.layer({ path, shared: true })),
    // Only transfers are printed: a process that waits long until it may open the store says so in its log
    Effect.provide(Logger.layer([]))
  )
)
