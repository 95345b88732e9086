/**
 * Measures one scenario of `postgres.ts` in a process of its own, beside other processes that do the same on the same store.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Place from "../support/place.ts"
import * as Measuring from "./measuring.ts"
import { scenarios } from "./postgres.ts"
import { PostgresTask } from "./postgresProcesses.ts"

Measuring.runMain(Effect.fnUntraced(function*(argument) {
  const { place, records, sampleMillis, scenario } = yield* Schema.decodeUnknownEffect(PostgresTask)(argument)
  const store = yield* Place.open(place, { shared: true })
  const found = scenarios.find(({ name }) => name === scenario)
  if (found === undefined) return yield* Effect.die(`there is no scenario ${scenario}`)
  yield* Measuring.measure(
    (stopwatch) => Effect.as(stopwatch.time(found.run(store, records)), found.operations),
    sampleMillis
  )
}))
