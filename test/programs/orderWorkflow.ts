/**
 * Runs an order to its end, or kills itself just before a commit: prints the result of the order, and how many commits it
 * took.
 *
 * Arguments: the path, the file to which the activities write, the number of the commit, from 1 on; 0 for none.
 */
import { Effect } from "effect"
import * as process from "node:process"
import { Order, ordersOn } from "../support/fixtures/orders.ts"
import { openWith } from "../support/streaming.ts"

const [, , path = "", file = "", killAt = "0"] = process.argv

let commits = 0

const program = Effect.gen(function*() {
  const { store } = yield* openWith({ path }, ({ commit }) => ({
    commit: (plan) =>
      Effect.suspend(() => {
        if (++commits === Number(killAt)) process.kill(process.pid, "SIGKILL")
        return commit(plan)
      })
  }))
  const result = yield* Effect.provide(Order.execute({ id: "A-1" }), ordersOn(store, file))
  process.stdout.write(`${result}\n${commits} commits\n`)
}).pipe(Effect.scoped)

await Effect.runPromise(program)
