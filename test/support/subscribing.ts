/**
 * What tests of changes need: a subscriber that is told all, and changes in few words.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { Change, StoreService, ValueDecoding } from "../../src/index.ts"
import { start } from "./harness.ts"

type AnyChange = Change<string, unknown, ValueDecoding>

/** A change in few words. */
export const show = (change: AnyChange): Effect.Effect<string, ValueDecoding> => {
  switch (change._tag) {
    case "Put":
      return Effect.map(change.value, (value) => `${change.key}=${JSON.stringify(value)}`)
    case "Delete":
      return Effect.succeed(`-${change.key}`)
    case "Expired":
      return Effect.succeed(`x${change.key}`)
    case "Clear":
      return Effect.succeed("clear")
  }
}

/** Subscribes at once; the result gives all that was told, when the store has closed. */
export const subscribe = Effect.fnUntraced(function*<E>(changes: Stream.Stream<AnyChange, E>) {
  const told = yield* start(Stream.runCollect(changes))
  return Fiber.join(told)
})

/** Closes the store, and gives what a subscriber was told in few words. */
export const toldBy = Effect.fnUntraced(
  function*<E>(store: StoreService, told: Effect.Effect<ReadonlyArray<AnyChange>, E>) {
    yield* store.close({ strict: true })
    return yield* Effect.forEach(yield* told, show)
  }
)
