import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Schema, Stream } from "effect"
import { Collection, StoreLive } from "../../src/index.ts"

class Notes extends Collection.Service<Notes>()("notes", {
  key: Schema.Int,
  value: Schema.Struct({ text: Schema.String, tag: Schema.String }),
  indexes: { byTag: { key: Schema.String, of: (note) => note.tag } }
}) {}

const program = Effect.gen(function*() {
  const notes = yield* Notes
  yield* notes.put((yield* notes.size) + 1, { text: "buy milk", tag: "home" })
  const atHome = yield* Stream.runCollect(notes.indexes.byTag.values({ equals: "home" }))
  yield* Console.log(`${atHome.length} notes for home`) // => 1 notes for home
})

program.pipe(Effect.provide(Layer.provide(Notes.layer, StoreLive)), NodeRuntime.runMain)
