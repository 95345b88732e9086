/** The interval at which ports look for commits of other processes. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { type PollOptions, Store } from "../../src/index.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"

const asVoid = <A, E, R>(make: (options: PollOptions) => Effect.Effect<A, E, R>) => (options: PollOptions) =>
  Effect.asVoid(make(options))

it.effect.each([
  { port: "a queue", make: asVoid(LmdbPersistedQueue.makeStore) },
  { port: "a journal", make: asVoid(LmdbEventLog.makeJournal) },
  { port: "an unencrypted server", make: asVoid(LmdbEventLog.makeStorageUnencrypted) },
  { port: "an encrypted server", make: asVoid(LmdbEventLog.makeStorageEncrypted) }
])(
  "$port is not made with an interval with which it would miss the commits of other processes",
  ({ make }) =>
    Effect.gen(function*() {
      for (const pollInterval of [0, NaN, "0 millis", -5] as const) {
        const error = yield* Effect.flip(make({ pollInterval }))
        assert.deepInclude(error, { _tag: "EngineFailure", code: 22 })
        assert.include(String(error), "pollInterval")
      }
      yield* make({ pollInterval: undefined })
      yield* make({ pollInterval: "20 millis" })
    }).pipe(Effect.scoped, Effect.provide(Store.layerTemp({ shared: true })))
)
