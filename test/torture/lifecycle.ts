/**
 * Every method of a store in every state that a store can be in.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { join } from "node:path"
import { Store, type StoreService } from "../../src/index.ts"
import { start, temporaryFolder, turns } from "../harness.ts"
import * as SpyEngine from "../spyEngine.ts"
import type { Random } from "./random.ts"
import { record, type Recorder, type Report } from "./section.ts"

type Spied = Effect.Success<ReturnType<typeof SpyEngine.open>>

type Call = (store: StoreService, folder: string, random: Random) => Effect.Effect<unknown, { readonly _tag: string }>

/** Every method, each with arguments that make sense. */
const methods: ReadonlyMap<string, Call> = new Map<string, Call>([
  ["put", (store) => store.put("a", 1)],
  ["put of much", (store) => store.put("much", "x".repeat(400_000))],
  ["get", (store) => store.get("a")],
  ["getOrFail", (store) => store.getOrFail("a")],
  ["has", (store) => store.has("a")],
  ["has with flush", (store) => store.has("missing", { flush: true })],
  ["delete", (store) => store.delete("a")],
  ["deleteOrFail", (store) => store.deleteOrFail("a")],
  ["update", (store) => store.update("a", Option.map((value) => [value]))],
  ["putMany", (store) => store.putMany({ a: 1, b: 2 })],
  ["putMany of much", (store) => store.putMany({ more: "x".repeat(400_000) })],
  ["getMany", (store) => store.getMany(["a", "b"])],
  ["deleteMany", (store) => store.deleteMany(["a", "b"])],
  ["keys", (store) => Stream.runCollect(store.keys())],
  ["values", (store) => Stream.runCollect(store.values({ snapshot: false }))],
  ["entries", (store) => Stream.runCollect(store.entries({ reverse: true }))],
  ["count", (store) => store.count()],
  ["deleteRange", (store) => store.deleteRange({ gte: "b" })],
  ["size", (store) => store.size],
  ["clear", (store) => store.clear],
  ["flush", (store) => store.flush],
  ["stats", (store) => store.stats],
  ["backup", (store, folder, random) => store.backup(join(folder, `copy ${random.below(1e9)}`))],
  ["close", (store) => store.close()],
  ["close strictly", (store) => store.close({ strict: true })]
])

const states = ["open", "committing", "growing", "copying", "closing", "closed"] as const

/** Brings a store into a state, and gives what lets it go on. */
const reach = Effect.fnUntraced(function*(state: (typeof states)[number], { path, spy, store }: Spied) {
  yield* store.putMany({ a: 0, b: 0 })
  yield* store.put("pending", 1)
  const hold = (operation: "commit" | "resize" | "backup", call: Effect.Effect<unknown, unknown>) =>
    Effect.gen(function*() {
      const held = yield* spy.hold(operation)
      yield* start(Effect.ignore(call))
      yield* held.begun
      return held.release
    })
  switch (state) {
    case "open":
      return Effect.void
    case "committing":
      return yield* hold("commit", store.flush)
    case "growing":
      yield* store.put("large", "x".repeat(400_000))
      return yield* hold("resize", store.flush)
    case "copying":
      return yield* hold("backup", store.backup(join(path, "held copy")))
    case "closing":
      return yield* hold("commit", store.close())
    case "closed":
      yield* store.close()
      return Effect.void
  }
})

/** The errors that a state of the store explains. */
const expected: ReadonlySet<string> = new Set(["Closed", "KeyNotFound"])

const expectEnd = (
  recorder: Recorder,
  what: string,
  exit: Exit.Exit<Option.Option<unknown>, { readonly _tag: string }>
) => {
  recorder.count("calls")
  if (Exit.isSuccess(exit)) recorder.expect(Option.isSome(exit.value), `${what}: nothing came of it`)
  else {
    const error = Cause.findErrorOption(exit.cause)
    const isExpected = Option.exists(error, ({ _tag }) => expected.has(_tag))
    recorder.expect(isExpected || Cause.hasInterruptsOnly(exit.cause), `${what}: ${Cause.pretty(exit.cause)}`)
  }
}

/** Some calls at once in a state, each of which may be interrupted, while the store goes on. */
const callIn = Effect.fnUntraced(function*(
  state: (typeof states)[number],
  calls: ReadonlyArray<readonly [string, Call]>,
  random: Random,
  recorder: Recorder
) {
  const spied = yield* SpyEngine.open({ mapSize: "256 KiB", batchSize: random.between(3, 6), durability: "noSync" })
  const goOn = yield* reach(state, spied)
  const fibers = yield* Effect.forEach(
    calls,
    ([, call]) => start(Effect.timeoutOption(call(spied.store, spied.path, random), "10 seconds"))
  )
  yield* turns(random.below(4))
  const interrupted = random.oneIn(3) ? fibers[random.below(fibers.length)] : undefined
  if (interrupted !== undefined) yield* start(Fiber.interrupt(interrupted))
  yield* goOn
  for (const [index, fiber] of fibers.entries()) {
    expectEnd(recorder, `${calls[index]?.[0]} while ${state}`, yield* Fiber.await(fiber))
  }
  const isClosed = yield* Effect.timeoutOption(spied.store.close(), "10 seconds")
  recorder.expect(Option.isSome(isClosed), `${calls.map(([name]) => name).join()} while ${state}: it cannot be closed`)
}, Effect.scoped)

/** Opens a path several times at once and gives some of the openings up. */
const whileOpening = Effect.fnUntraced(function*(random: Random, recorder: Recorder) {
  const path = yield* temporaryFolder
  const use = Effect.scoped(Effect.flatMap(Store.make({ path }), (store) => store.putMany({ a: 1 })))
  const fibers = yield* Effect.forEach(random.many(5, () => use), start)
  yield* turns(random.below(10))
  for (const fiber of fibers) if (random.oneIn(3)) yield* start(Fiber.interrupt(fiber))
  for (const fiber of fibers) {
    const exit = yield* Effect.exit(Effect.timeoutOption(Fiber.await(fiber), "10 seconds"))
    recorder.count("openings")
    recorder.expect(Exit.isSuccess(exit) && Option.isSome(exit.value), "an opening does not end")
    if (Exit.isSuccess(exit) && Option.isSome(exit.value)) {
      expectEnd(recorder, "use while opening", Exit.map(exit.value.value, Option.some))
    }
  }
  yield* use
}, Effect.scoped)

/** Calls every method in every state, alone and in random company. */
export const everyState: (random: Random) => Effect.Effect<Report, unknown> = Effect.fnUntraced(
  function*(random: Random) {
    const recorder = record()
    const all = [...methods]
    for (const state of states) {
      for (const method of all) {
        const company = random.many(random.below(4), () => all[random.below(all.length)] ?? method)
        yield* callIn(state, [method, ...company], random, recorder)
      }
    }
    yield* whileOpening(random, recorder)
    return recorder.report()
  }
)
