/**
 * Puts many records of one shape into a shared store in one transaction, and holds that transaction: prints `held`
 * when no other process can write, and commits when a file is there.
 *
 * Arguments: the path, the key of the last record, and the path of the file.
 */
import { Effect } from "effect"
import { existsSync, writeSync } from "node:fs"
import * as process from "node:process"
import { below } from "../support/fixtures/transactions.ts"
import { openWith } from "../support/streaming.ts"

const [, , path = "", key = "", signal = ""] = process.argv

/** Nothing else runs meanwhile: the transaction stays open. */
const standStill = () => {
  const nobody = new Int32Array(new SharedArrayBuffer(4))
  while (!existsSync(signal)) Atomics.wait(nobody, 0, 0, 10)
}

const program = Effect.gen(function*() {
  let isHeld = false
  const { store } = yield* openWith({ path, shared: true }, ({ commit }) => ({
    commit: (plan) =>
      commit((present, transactionId) => {
        if (!isHeld) {
          isHeld = true
          writeSync(1, "held\n")
          standStill()
        }
        return plan(present, transactionId)
      })
  }))
  const keys = [...below(40).map((n) => `other ${n}`), key]
  yield* store.putMany(keys.map((each, n) => [each, { firstOfItsNames: n, secondOfItsNames: each }] as const))
}).pipe(Effect.scoped)

await Effect.runPromise(program)
