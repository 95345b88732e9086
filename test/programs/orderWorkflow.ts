/**
 * Runs an order to its end, or kills itself just before a commit: prints the result of the order, and how many commits it
 * took.
 *
 * Arguments: the path, the file to which the activities write, and the commit: its number from 1 on, `2:1` for the first one
 * after two activities have run, or 0 for none.
 */
import { Effect } from "effect"
import { existsSync, readFileSync } from "node:fs"
import * as process from "node:process"
import { Order, ordersOn } from "../support/fixtures/orders.ts"
import { openWith } from "../support/streaming.ts"

const [, , path = "", file = "", killAt = "0"] = process.argv

const [acts = "0", after] = killAt.split(":")

/** How many activities have run. */
const actsNow = (): number => existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0

let commits = 0
let commitsAfter = 0

/** Whether the process kills itself before this commit. */
const isLast = (): boolean => {
  commits++
  if (after === undefined) return commits === Number(killAt)
  if (actsNow() === Number(acts)) commitsAfter++
  return commitsAfter === Number(after)
}

const program = Effect.gen(function*() {
  const { store } = yield* openWith({ path }, ({ commit }) => ({
    commit: (plan) =>
      Effect.suspend(() => {
        if (isLast()) process.kill(process.pid, "SIGKILL")
        return commit(plan)
      })
  }))
  const result = yield* Effect.provide(Order.execute({ id: "A-1" }), ordersOn(store, file))
  process.stdout.write(`${result}\n${commits} commits\n`)
}).pipe(Effect.scoped)

await Effect.runPromise(program)
