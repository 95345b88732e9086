/** The queues of a store against Effect's memory layer, under random work. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Store, type StoreOptions } from "../../src/index.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"
import * as DelayedBackend from "../../src/testing/DelayedBackend.ts"
import * as LocalBackend from "../../src/testing/LocalBackend.ts"
import { allGiven, type Held, hold } from "../support/fixtures/queues.ts"
import { start, temporaryFolder } from "../support/harness.ts"

const names = ["a", "b"] as const
const ids = ["1", "2", "3", "4"] as const
const maxAttempts = 3
const retryMinutes = 2

const Outcome = Schema.Literals(["succeed", "succeed", "fail", "fail", "interrupt", "dead letter", "hold", "hold"])

/** What becomes of the element of each id. */
const Outcomes = Schema.Tuple([Outcome, Outcome, Outcome, Outcome])

const Step = Schema.Union([
  Schema.TaggedStruct("Offer", {
    name: Schema.Literals(names),
    id: Schema.Literals(ids),
    minutes: Schema.Literals([0, 0, 1, 3])
  }),
  Schema.TaggedStruct("Offer", { name: Schema.Literals(names), id: Schema.Literals(ids), minutes: Schema.Literal(0) }),
  Schema.TaggedStruct("Take", { name: Schema.Literals(names), outcomes: Outcomes }),
  Schema.TaggedStruct("Take", { name: Schema.Literals(names), outcomes: Outcomes }),
  Schema.TaggedStruct("End", { outcomes: Outcomes }),
  Schema.TaggedStruct("Pass", { minutes: Schema.Literals([1, 2, 5]) }),
  Schema.TaggedStruct("CleanUp", {
    minutes: Schema.Literals([0, 1, 4]),
    failedMinutes: Schema.NullOr(Schema.Literals([0, 1, 4]))
  }),
  Schema.TaggedStruct("Reopen", {})
])

const exitOf = (outcome: typeof Outcome.Type): Exit.Exit<void, unknown> => {
  switch (outcome) {
    case "succeed":
      return Exit.void
    case "interrupt":
      return Exit.failCause(Cause.interrupt())
    case "dead letter":
      return Exit.fail({ _tag: "~effect/persistence/PersistedQueue/DeadLetter", cause: Cause.fail("does not decode") })
    default:
      return Exit.fail("boom")
  }
}

type Queues = PersistedQueue.PersistedQueueStore["Service"]

const to = (queues: Queues) => Effect.provideService(PersistedQueue.PersistedQueueStore, queues)

/** Takes all that is due, by one fiber more than there are ids. */
const takeAll = Effect.fnUntraced(function*(name: string, given: Effect.Effect<void>) {
  const fibers = yield* Effect.replicateEffect(
    start(hold(name, { maxAttempts, retryDelay: 60_000 * retryMinutes })),
    ids.length + 1
  )
  yield* given
  const taken: Array<Held> = []
  for (const fiber of fibers) {
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) taken.push(yield* exit)
  }
  yield* Fiber.interruptAll(fibers)
  return taken
})

const described = (taken: ReadonlyArray<Held>) =>
  taken.map(({ attempts, element, id }) => ({ attempts, element, id })).toSorted((a, b) => a.id < b.id ? -1 : 1)

/** Both queues side by side: what they gave and whose handler has not ended, by the queue and the id. */
interface Sides {
  readonly memory: Map<string, Held>
  readonly stored: Map<string, Held>
}

const endBoth = Effect.fnUntraced(function*({ memory, stored }: Sides, key: string, exit: Exit.Exit<void, unknown>) {
  for (const held of [memory, stored]) {
    const element = held.get(key)
    if (element !== undefined) yield* element.end(exit)
    held.delete(key)
  }
})

const openStore = (options: StoreOptions, waits: boolean) => {
  if (!waits) return Store.make(options)
  const backend = Effect.flatMap(LocalBackend.make(options), (local) => DelayedBackend.make(local, { seed: 1 }))
  return Store.makeWithBackend(backend, { name: "delayed" })
}

const Element = Schema.Struct({ number: Schema.Int })

/** When the element of each offer becomes visible, by the number of its step: the memory layer does not order by that. */
type VisibleAt = Map<number, number>

/** Checks that elements were given by the time at which they became visible, and then by their offers. */
const assertInOrder = (taken: ReadonlyArray<Held>, visibleAt: VisibleAt): void => {
  const order = taken.map(({ element }) => {
    const { number } = Schema.decodeUnknownSync(Element)(element)
    return [visibleAt.get(number) ?? NaN, number] as const
  })
  assert.deepStrictEqual(order, order.toSorted((a, b) => a[0] - b[0] || a[1] - b[1]))
}

const agrees = (waits: boolean) =>
  Effect.fnUntraced(function*({ steps }: { readonly steps: ReadonlyArray<typeof Step.Type> }) {
    const path = yield* temporaryFolder
    const memory = yield* Effect.provide(
      Effect.service(PersistedQueue.PersistedQueueStore),
      PersistedQueue.layerStoreMemory
    )
    const reopen = Effect.gen(function*() {
      const scope = yield* Scope.make()
      const store = yield* Scope.provide(openStore({ path, durability: "noSync" }, waits), scope)
      const queues = yield* LmdbPersistedQueue.makeStore().pipe(
        Effect.provideService(Store, store),
        Scope.provide(scope)
      )
      return { scope, queues }
    })
    let opened = yield* reopen
    const held: Sides = { memory: new Map(), stored: new Map() }
    const visibleAt: VisibleAt = new Map()
    const given = Effect.suspend(() =>
      Effect.provide(allGiven, PersistedQueue.layer).pipe(to(opened.queues), Effect.orDie)
    )
    const end = Effect.fnUntraced(function*(key: string, outcome: typeof Outcome.Type) {
      const element = held.memory.get(key)
      if (outcome === "hold" || element === undefined) return
      yield* endBoth(held, key, exitOf(outcome))
      if (outcome !== "fail") return
      const { number } = yield* Schema.decodeUnknownEffect(Element)(element.element)
      visibleAt.set(number, (yield* Clock.currentTimeMillis) + 60_000 * retryMinutes * element.attempts)
    })
    const endAll = (outcomeOf: (id: string) => typeof Outcome.Type) =>
      Effect.forEach([...held.memory], ([key, { id }]) => end(key, outcomeOf(id)), { discard: true })
    for (const [number, step] of steps.entries()) {
      switch (step._tag) {
        case "Offer": {
          const { id, minutes, name } = step
          const delay = minutes === 0 ? undefined : Duration.minutes(minutes)
          visibleAt.set(number, (yield* Clock.currentTimeMillis) + 60_000 * minutes)
          const offer = { name, id, element: { number }, isCustomId: true, delay }
          yield* memory.offer(offer)
          yield* opened.queues.offer(offer)
          break
        }
        case "Take": {
          const { name, outcomes } = step
          const inMemory = yield* to(memory)(takeAll(name, Effect.yieldNow))
          const inStore = yield* to(opened.queues)(takeAll(name, given))
          assert.deepStrictEqual(described(inStore), described(inMemory))
          assertInOrder(inStore, visibleAt)
          for (const element of inMemory) held.memory.set(`${name}/${element.id}`, element)
          for (const element of inStore) held.stored.set(`${name}/${element.id}`, element)
          for (const { id } of inStore) yield* end(`${name}/${id}`, outcomes[Number(id) - 1] ?? "succeed")
          break
        }
        case "End":
          yield* endAll((id) => step.outcomes[Number(id) - 1] ?? "succeed")
          break
        case "Pass":
          yield* TestClock.adjust(Duration.minutes(step.minutes))
          break
        case "CleanUp": {
          const options = {
            timeToLive: Duration.minutes(step.minutes),
            failedTimeToLive: step.failedMinutes === null ? undefined : Duration.minutes(step.failedMinutes)
          }
          yield* memory.cleanup(options)
          yield* opened.queues.cleanup(options)
          break
        }
        case "Reopen":
          yield* endAll(() => "interrupt")
          yield* Scope.close(opened.scope, Exit.void)
          opened = yield* reopen
      }
    }
    yield* endAll(() => "interrupt")
    yield* Scope.close(opened.scope, Exit.void)
  })

const workload = { steps: Arbitrary.array(Arbitrary.schema(Step), { minLength: 20, maxLength: 60 }) }
const arbitrary = { runs: 10, size: 60, seed: "queues" }

describe("the queues of a store agree with those in memory after each step", () => {
  it.effect.prop("on LMDB", workload, agrees(false), { arbitrary })

  it.effect.prop("when reads wait", workload, agrees(true), { arbitrary })
})
