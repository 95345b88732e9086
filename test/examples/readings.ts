import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect } from "effect"
import { Store, StoreLive } from "../../src/index.ts"

const program = Effect.gen(function*() {
  const store = yield* Store
  const found = yield* store.size
  yield* Console.log(`${found} readings on disk; Ctrl-C ends the program`)

  for (let n = found + 1;; n++) {
    yield* store.put(`reading ${n}`, { at: new Date(), celsius: 20 + Math.random() })
    if (n % 1000 === 0) yield* Console.log(`${n} readings`)
    yield* Effect.sleep("1 millis")
  }
})

program.pipe(Effect.provide(StoreLive), NodeRuntime.runMain)
