import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Store } from "effect-lmdb"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"

const program = Effect.gen(function*() {
  const store = yield* Store
  yield* store.put("answer", { value: 42n })
  yield* store.flush
  yield* Console.log("stored and read:", yield* store.getOrFail("answer"))
})

program.pipe(Effect.provide(Store.layerTemp()), NodeRuntime.runMain)
