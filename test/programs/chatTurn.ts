/**
 * Makes one turn of a chat that is kept in a store, prints the answer, and kills itself.
 *
 * Arguments: the path of the store, and what the user says.
 */
import { Effect, Layer } from "effect"
import { Chat, LanguageModel } from "effect/ai"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import * as LmdbPersistence from "../../src/Persistence.ts"
import { parrot } from "../support/fixtures/parrot.ts"

const [, , path = "", prompt = ""] = process.argv

const program = Effect.gen(function*() {
  const chats = yield* Chat.Persistence
  const chat = yield* chats.getOrCreate("1")
  const { text } = yield* chat.generateText({ prompt })
  process.stdout.write(`${text}\n`)
  process.kill(process.pid, "SIGKILL")
  // The signal ends the process before the store can close.
  yield* Effect.never
})

const Live = Layer.mergeAll(
  Chat.layerPersisted({ storeId: "chats" }).pipe(
    Layer.provide(LmdbPersistence.layerBacking({ durable: true })),
    Layer.provide(Store.layer({ path, flushInterval: "Infinity" }))
  ),
  Layer.effect(LanguageModel.LanguageModel, parrot)
)

await Effect.runPromise(Effect.provide(program, Live))
