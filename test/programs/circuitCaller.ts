/**
 * Works on the circuits of a store that other processes work on too, and prints how many of its outcomes have opened the
 * circuit "counted", and how many of its calls were the probe of the circuit "opened". Arguments: the path, how many
 * failures it records, and how many failures open the circuit.
 */
import { Duration, Effect, Layer } from "effect"
import { CircuitBreaker } from "effect/persistence"
import * as process from "node:process"
import * as LmdbCircuitBreaker from "../../src/CircuitBreaker.ts"
import { Store } from "../../src/index.ts"

const [, , path = "", calls = "0", failures = "1"] = process.argv

const program = Effect.gen(function*() {
  const circuits = yield* CircuitBreaker.CircuitBreakerStore
  let openings = 0
  let probes = 0
  const fail = Effect.gen(function*() {
    const { generation } = yield* Effect.scoped(circuits.admit("counted"))
    const transition = yield* circuits.record({
      key: "counted",
      generation,
      outcome: "Failure",
      tripPolicy: CircuitBreaker.consecutive(Number(failures)),
      openFor: Duration.hours(1)
    })
    if (transition !== undefined) openings++
    const admission = yield* Effect.option(circuits.admit("opened"))
    if (admission._tag === "Some" && admission.value.probe) probes++
  })
  yield* Effect.all(Array.from({ length: Number(calls) }, () => fail), { concurrency: 4, discard: true })
  process.stdout.write(`${openings} ${probes}\n`)
})

const Live = LmdbCircuitBreaker.layerStore({ probeLease: "10 minutes" }).pipe(
  Layer.provide(Store.layer({ path, shared: true, durability: "noSync", lockTimeout: "30 seconds" }))
)

await Effect.runPromise(Effect.provide(Effect.scoped(program), Live))
