/**
 * Puts numbered keys until it is stopped, and prints after each put how many were
 * made; the flush interval is so long that no commit begins by itself.
 *
 * Arguments: the path, and `flush` to flush after every tenth put and print only
 * what was flushed.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const [, , path = "", mode = "put"] = process.argv

const say = (count: number) =>
  Effect.callback<void>((resume) => {
    process.stdout.write(`${count}\n`, () => resume(Effect.void))
  })

const program = Effect.gen(function*() {
  const store = yield* Store
  for (let count = 1;; count++) {
    yield* store.put(`key ${count}`, { count, text: "x".repeat(count % 300) })
    if (mode === "put") yield* say(count)
    else if (count % 10 === 0) {
      yield* store.flush
      yield* say(count)
    }
  }
})

NodeRuntime.runMain(
  Effect.provide(program, Store.layer({ path, batchSize: 1_000_000, batchBytes: "1 GiB", flushInterval: "1 day" }))
)
