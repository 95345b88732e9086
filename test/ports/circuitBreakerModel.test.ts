/** The circuits of a store against Effect's memory layer, under random calls. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as LmdbCircuitBreaker from "../../src/CircuitBreaker.ts"
import { Store, type StoreOptions } from "../../src/index.ts"
import * as DelayedStore from "../support/delayedStore.ts"
import { temporaryFolder } from "../support/harness.ts"

const Key = Schema.Literals(["a", "b"])

const policies = {
  one: CircuitBreaker.consecutive(1),
  three: CircuitBreaker.consecutive(3),
  half: CircuitBreaker.rate({ threshold: 0.5, size: 4, minimumCalls: 2 }),
  quarter: CircuitBreaker.rate({ threshold: 0.25, size: 6 })
}

const Step = Schema.Union([
  Schema.TaggedStruct("Admit", { key: Key }),
  Schema.TaggedStruct("Admit", { key: Key }),
  Schema.TaggedStruct("Record", {
    /** Which of the calls that were admitted ends, counted from the last one. */
    call: Schema.Literals([0, 0, 0, 1, 2, 5]),
    outcome: Schema.Literals(["Success", "Failure", "Failure", "Ignored"]),
    policy: Schema.Literals(["one", "three", "three", "half", "quarter"]),
    openFor: Schema.Literals([-5, 0, 1.5, 1000, 60_000, 3_600_000])
  }),
  Schema.TaggedStruct("Record", {
    call: Schema.Literals([0, 0, 0, 1]),
    outcome: Schema.Literals(["Success", "Failure"]),
    policy: Schema.Literals(["one", "half"]),
    openFor: Schema.Literals([1000, 60_000])
  }),
  Schema.TaggedStruct("State", { key: Key }),
  Schema.TaggedStruct("Pass", { millis: Schema.Literals([1, 99, 1000, 20_000, 60_000]) }),
  Schema.TaggedStruct("Pass", { millis: Schema.Literals([600_000, 3_540_000, 3_600_000, 7_200_000]) }),
  Schema.TaggedStruct("Reopen", {})
])

type Circuits = CircuitBreaker.CircuitBreakerStore["Service"]

/** A call that was admitted by both stores. */
interface Call {
  readonly key: string
  readonly memory: CircuitBreaker.Admission
  readonly stored: CircuitBreaker.Admission
}

/** What a call has given, without its generation. */
const shown = <A>(exit: Exit.Exit<A, CircuitBreaker.CircuitBreakerError>) =>
  Exit.match(exit, {
    onSuccess: (value): unknown => value,
    onFailure: ({ reasons }) =>
      reasons.map((reason) => {
        const error = reason._tag === "Fail" ? reason.error.reason : undefined
        return error?._tag === "CircuitOpen" ? [error.key, Duration.toMillis(error.retryAfter)] : error?._tag ?? reason
      })
  })

const withoutGeneration = ({ consecutiveOpenings, probe, transition }: CircuitBreaker.Admission) => ({
  consecutiveOpenings,
  probe,
  transition
})

/** Makes a call to both and checks that they give the same. */
const onBoth = Effect.fnUntraced(function*<A>(
  memory: Circuits,
  stored: Circuits,
  call: (circuits: Circuits) => Effect.Effect<A, CircuitBreaker.CircuitBreakerError>
) {
  const expected = shown(yield* Effect.exit(call(memory)))
  assert.deepStrictEqual(shown(yield* Effect.exit(call(stored))), expected)
})

const agrees = (
  options: Partial<StoreOptions>,
  open: (options: StoreOptions) => ReturnType<typeof Store.make> = Store.make
) =>
  Effect.fnUntraced(function*({ steps }: { readonly steps: ReadonlyArray<typeof Step.Type> }) {
    const path = yield* temporaryFolder
    // Until a call ends, its scope stays open.
    const callScope = yield* Effect.acquireRelease(Scope.make(), (made) => Scope.close(made, Exit.void))
    const memory = yield* Effect.provide(
      Effect.service(CircuitBreaker.CircuitBreakerStore),
      CircuitBreaker.layerStoreMemory()
    )
    const reopen = Effect.gen(function*() {
      const scope = yield* Scope.make()
      const store = yield* Scope.provide(open({ path, durability: "noSync", ...options }), scope)
      // The probes of the memory layer have no lease. A long one never ends here.
      const circuits = LmdbCircuitBreaker.makeStore({ probeLease: "1000 days" })
      return { scope, circuits: yield* Effect.provideService(circuits, Store, store) }
    })
    let opened = yield* reopen
    const calls: Array<Call> = []
    /** For each generation in memory, the generation in the store. */
    const generations = new Map<number, number>()

    const admit = Effect.fnUntraced(function*(key: string) {
      const admitted = (circuits: Circuits) => Effect.exit(Scope.provide(circuits.admit(key), callScope))
      const inMemory = yield* admitted(memory)
      const inStore = yield* admitted(opened.circuits)
      assert.deepStrictEqual(
        shown(Exit.map(inStore, withoutGeneration)),
        shown(Exit.map(inMemory, withoutGeneration))
      )
      if (!Exit.isSuccess(inMemory) || !Exit.isSuccess(inStore)) return
      const { generation } = inStore.value
      const known = generations.get(inMemory.value.generation)
      if (known === undefined) {
        const earlier = calls.filter((call) => call.key === key).map(({ stored }) => stored.generation)
        assert.notInclude(earlier, generation, "a generation that is new in memory is new in the store")
        generations.set(inMemory.value.generation, generation)
      } else assert.strictEqual(generation, known)
      calls.push({ key, memory: inMemory.value, stored: inStore.value })
    })

    for (const step of steps) {
      switch (step._tag) {
        case "Admit":
          yield* admit(step.key)
          break
        case "Record": {
          const call = calls.at(-1 - step.call)
          if (call === undefined) break
          const { key } = call
          const recorded = {
            key,
            outcome: step.outcome,
            tripPolicy: policies[step.policy],
            openFor: Duration.millis(step.openFor)
          }
          yield* onBoth(memory, opened.circuits, (circuits) =>
            circuits.record({
              ...recorded,
              generation: (circuits === memory ? call.memory : call.stored).generation
            }))
          // In memory, such a probe could record once more. The store has given its slot away, as the one in Redis.
          if (call.memory.probe && step.outcome === "Ignored") calls.splice(calls.indexOf(call), 1)
          break
        }
        case "State":
          yield* onBoth(memory, opened.circuits, (circuits) => circuits.state(step.key))
          break
        case "Pass":
          yield* TestClock.adjust(step.millis)
          break
        case "Reopen":
          yield* Scope.close(opened.scope, Exit.void)
          opened = yield* reopen
      }
    }
    yield* Scope.close(opened.scope, Exit.void)
  })

const workload = { steps: Arbitrary.array(Arbitrary.schema(Step), { minLength: 30, maxLength: 120 }) }
const arbitrary = { runs: 12, size: 80, seed: "circuits" }

describe("the circuits of a store agree with those in memory after each call", () => {
  it.effect.prop("on LMDB", workload, agrees({}), { arbitrary })

  // Each step of a shared store is a commit.
  it.effect.prop("when the store is shared", workload, agrees({ shared: true }), {
    arbitrary: { ...arbitrary, runs: 4 }
  })

  it.effect.prop("when reads wait", workload, agrees({}, DelayedStore.open), { arbitrary })
})
