import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Schema } from "effect"
import { Collection, StoreLive } from "../../src/index.ts"

class Notes extends Collection.Service<Notes>()("notes", {
  key: Schema.Int,
  value: Schema.Struct({ text: Schema.String, tag: Schema.String })
}) {}

const program = Effect.gen(function*() {
  const notes = yield* Notes
  const count = yield* notes.size
  yield* notes.put(count + 1, { text: "buy milk", tag: "home" })
  yield* Console.log(yield* notes.collect()) // => [ { text: 'buy milk', tag: 'home' } ]
})

program.pipe(Effect.provide(Layer.provide(Notes.layer, StoreLive)), NodeRuntime.runMain)
