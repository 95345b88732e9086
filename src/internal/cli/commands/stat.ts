/** `stat`: the size and the state of a store. */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Inspect from "../../../Inspect.ts"
import * as Format from "../format.ts"
import { withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"

const parameters = { store: Parameters.store }

const handle = Effect.fnUntraced(function*(path: string) {
  const output = yield* Output.make
  const state = yield* Inspect.state
  const { collections, namespaces, records } = yield* Inspect.contents
  const indexes = collections.flatMap((collection) => collection.indexes)
  const total = collections.reduce((sum, collection) => sum + collection.records, 0) +
    namespaces.reduce((sum, namespace) => sum + namespace.records, 0) + records
  yield* Output.writeFields(
    output,
    [
      ["store", path],
      ["file", Format.bytes(state.fileBytes)],
      ["used", `${Format.bytes(state.usedBytes)} (${Format.number(100 * state.usedBytes / state.fileBytes)} %)`],
      ["free", Format.bytes(state.fileBytes - state.usedBytes)],
      ["map", Format.bytes(state.mapSize)],
      ["page", Format.bytes(state.pageSize)],
      ["transaction", Format.number(state.transactionId)],
      ["readers", `${Format.number(state.readers)} (the most at one time)`],
      ["records", Format.number(total)],
      ["collections", Format.number(collections.length)],
      ["indexes", Format.number(indexes.length)],
      ["namespaces", Format.number(namespaces.length)]
    ],
    {
      path,
      ...state,
      records: total,
      collections: collections.length,
      indexes: indexes.length,
      namespaces: namespaces.length
    }
  )
})

/** The command. */
export const command = Command.make(
  "stat",
  parameters,
  ({ store }) => withStore(store, handle(store.path))
).pipe(
  Command.withExamples([
    { command: "effect-lmdb stat ./data/cities", description: "The size of the file, and how much of it is used" },
    { command: "effect-lmdb stat ./data/cities --json", description: "The same as a JSON document" }
  ])
)
