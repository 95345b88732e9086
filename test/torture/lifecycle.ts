/**
 * Every method of a store and of its collections in every state that a store can be
 * in, by itself and in a transaction.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { join } from "node:path"
import { Collection, Store, type StoreService } from "../../src/index.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { start, temporaryFolder, turns } from "../support/harness.ts"
import { hangLimit } from "../support/timeLimits.ts"
import type { Random } from "./random.ts"
import { record, type Recorder, type Report } from "./section.ts"

type Spied = Effect.Success<ReturnType<typeof SpyEngine.open>>

const openPeople = (store: StoreService) =>
  Effect.provideService(
    Collection.make("people", {
      key: Schema.Int,
      value: Schema.Struct({ email: Schema.String, age: Schema.Int }),
      indexes: {
        byEmail: { key: Schema.String, of: (person) => person.email, unique: true },
        byAge: { key: Schema.Int, of: (person) => person.age }
      }
    }),
    Store,
    store
  )

/** What calls are made on. */
interface Subject {
  readonly store: StoreService
  readonly people: Effect.Success<ReturnType<typeof openPeople>>
  readonly folder: string
  readonly random: Random
}

interface Failure {
  readonly _tag: string
}

type Call = (subject: Subject) => Effect.Effect<unknown, Failure>

/** Follows changes for a while: nobody else would end that before the store is closed. */
const follow = <A, E extends Failure>(changes: Stream.Stream<A, E>) =>
  Effect.raceFirst(Stream.runDrain(changes), turns(20))

const person = (random: Random) => ({ email: `${random.below(1e9)}@example.com`, age: random.below(5) })

/** Every method, each with arguments that make sense. */
const methods: Readonly<Record<string, Call>> = {
  put: ({ store }) => store.put("a", 1),
  "put of much": ({ store }) => store.put("much", "x".repeat(400_000)),
  get: ({ store }) => store.get("a"),
  getOrFail: ({ store }) => store.getOrFail("a"),
  has: ({ store }) => store.has("a"),
  "has with flush": ({ store }) => store.has("missing", { flush: true }),
  delete: ({ store }) => store.delete("a"),
  deleteOrFail: ({ store }) => store.deleteOrFail("a"),
  update: ({ store }) => store.update("a", Option.map((value) => [value])),
  putMany: ({ store }) => store.putMany({ a: 1, b: 2 }),
  "putMany of much": ({ store }) => store.putMany({ more: "x".repeat(400_000) }),
  getMany: ({ store }) => store.getMany(["a", "b"]),
  deleteMany: ({ store }) => store.deleteMany(["a", "b"]),
  keys: ({ store }) => Stream.runCollect(store.keys()),
  values: ({ store }) => Stream.runCollect(store.values({ snapshot: false })),
  entries: ({ store }) => Stream.runCollect(store.entries({ reverse: true })),
  count: ({ store }) => store.count(),
  deleteRange: ({ store }) => store.deleteRange({ gte: "b" }),
  size: ({ store }) => store.size,
  clear: ({ store }) => store.clear,
  flush: ({ store }) => store.flush,
  stats: ({ store }) => store.stats,
  backup: ({ folder, random, store }) => store.backup(join(folder, `copy ${random.below(1e9)}`)),
  close: ({ store }) => store.close(),
  "close strictly": ({ store }) => store.close({ strict: true }),
  changes: ({ store }) => follow(store.changes()),
  withTransaction: ({ store }) => store.withTransaction(Effect.andThen(store.get("a"), store.putMany({ a: 1, c: 2 }))),
  "withTransaction of much": ({ store }) => store.withTransaction(store.put("much more", "x".repeat(400_000))),
  "withTransaction that waits": ({ store }) =>
    store.withTransaction(Effect.all([store.put("a", 1), turns(5), store.flush, store.put("b", 2)])),
  "withTransaction that reads": ({ store }) =>
    store.withTransaction(Effect.all([store.size, Stream.runCollect(store.entries())])),
  "withTransaction that fails": ({ store }) =>
    store.withTransaction(Effect.andThen(store.put("a", 1), Effect.fail({ _tag: "GivenUp" }))),
  "withTransaction that is interrupted": ({ store }) =>
    store.withTransaction(Effect.andThen(store.put("a", 1), Effect.interrupt)),
  "withTransaction in another": ({ store }) =>
    store.withTransaction(Effect.all([store.put("a", 1), store.withTransaction(store.clear), store.put("b", 1)])),
  "a fiber that outlives its transaction": ({ store }) =>
    Effect.flatMap(
      store.withTransaction(
        Effect.andThen(store.put("a", 1), Effect.forkDetach(Effect.andThen(turns(9), store.get("a"))))
      ),
      Fiber.join
    ),
  "collection open": ({ store }) => openPeople(store),
  "collection put": ({ people, random }) => people.put(1, person(random)),
  "collection insert": ({ people, random }) => people.insert(random.below(5), person(random)),
  "collection get": ({ people }) => people.get(1),
  "collection getOrFail": ({ people }) => people.getOrFail(1),
  "collection has": ({ people }) => people.has(1),
  "collection getMany": ({ people }) => people.getMany([1, 2, 9]),
  "collection update": ({ people, random }) => people.update(2, () => Option.some(person(random))),
  "collection delete": ({ people }) => people.delete(1),
  "collection deleteOrFail": ({ people }) => people.deleteOrFail(1),
  "collection putMany": ({ people, random }) => people.putMany([[1, person(random)], [3, person(random)]]),
  "collection deleteMany": ({ people }) => people.deleteMany([1, 2, 9]),
  "collection keys": ({ people }) => Stream.runCollect(people.keys({ reverse: true })),
  "collection values": ({ people }) => Stream.runCollect(people.values({ snapshot: false })),
  "collection entries": ({ people }) => Stream.runCollect(people.entries({ gte: 2, undecodable: "result" })),
  "collection first": ({ people }) => people.first(),
  "collection last": ({ people }) => people.last({ lt: 3 }),
  "collection count": ({ people }) => people.count({ gt: 1 }),
  "collection size": ({ people }) => people.size,
  "collection clear": ({ people }) => people.clear,
  "collection changes": ({ people }) => follow(people.changes()),
  "collection rebuildIndexes": ({ people }) => people.rebuildIndexes,
  "collection verify": ({ people }) => people.verify,
  "collection withTransaction": ({ people, random, store }) =>
    store.withTransaction(Effect.all([people.delete(2), people.put(4, person(random)), store.put("a", 4)])),
  "index get": ({ people }) => people.indexes.byAge.get(1),
  "index getOrFail": ({ people }) => people.indexes.byEmail.getOrFail("nobody"),
  "index has": ({ people }) => people.indexes.byAge.has(2),
  "index keys": ({ people }) => Stream.runCollect(people.indexes.byAge.keys()),
  "index values": ({ people }) => Stream.runCollect(people.indexes.byEmail.values({ prefix: "1" })),
  "index entries": ({ people }) => Stream.runCollect(people.indexes.byAge.entries({ reverse: true })),
  "index count": ({ people }) => people.indexes.byAge.count({ lte: 3 })
}

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
const expected: ReadonlySet<string> = new Set(["Closed", "KeyNotFound", "KeyExists", "GivenUp"])

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

/** What a store that was closed in the middle of anything left: records and indexes agree. */
const expectNoProblems = Effect.fnUntraced(function*(recorder: Recorder, what: string, path: string) {
  const { verify } = yield* openPeople(yield* Store.make({ path }))
  for (const problem of yield* verify) recorder.lose(`${what}: ${JSON.stringify(problem)}`)
}, Effect.scoped)

/** Makes a call, by itself or in a transaction. */
const callOf = (
  [name, call]: readonly [string, Call],
  subject: Subject
): readonly [string, Effect.Effect<unknown, Failure>] =>
  subject.random.oneIn(3)
    ? [`${name} in a transaction`, subject.store.withTransaction(call(subject))]
    : [name, call(subject)]

/** Some calls at once in a state, each of which may be interrupted, while the store goes on. */
const callIn = Effect.fnUntraced(function*(
  state: (typeof states)[number],
  chosen: ReadonlyArray<readonly [string, Call]>,
  random: Random,
  recorder: Recorder
) {
  const spied = yield* SpyEngine.open({ mapSize: "256 KiB", batchSize: random.between(3, 6), durability: "noSync" })
  const { path, store } = spied
  const people = yield* openPeople(store)
  yield* people.putMany([1, 2, 3].map((key) => [key, person(random)] as const))
  const goOn = yield* reach(state, spied)
  const calls = chosen.map((each) => callOf(each, { store, people, folder: path, random }))
  const fibers = yield* Effect.forEach(calls, ([, call]) => start(Effect.timeoutOption(call, hangLimit)))
  yield* turns(random.below(4))
  const interrupted = random.oneIn(3) ? fibers[random.below(fibers.length)] : undefined
  if (interrupted !== undefined) yield* start(Fiber.interrupt(interrupted))
  yield* goOn
  for (const [index, fiber] of fibers.entries()) {
    expectEnd(recorder, `${calls[index]?.[0]} while ${state}`, yield* Fiber.await(fiber))
  }
  const what = `${calls.map(([name]) => name).join()} while ${state}`
  const isClosed = yield* Effect.timeoutOption(store.close(), hangLimit)
  recorder.expect(Option.isSome(isClosed), `${what}: it cannot be closed`)
  yield* expectNoProblems(recorder, what, path)
}, Effect.scoped)

/** Opens a path several times at once and gives some of the openings up. */
const whileOpening = Effect.fnUntraced(function*(random: Random, recorder: Recorder) {
  const path = yield* temporaryFolder
  const use = Effect.scoped(Effect.flatMap(Store.make({ path }), (store) => store.putMany({ a: 1 })))
  const fibers = yield* Effect.forEach(random.many(5, () => use), start)
  yield* turns(random.below(10))
  for (const fiber of fibers) if (random.oneIn(3)) yield* start(Fiber.interrupt(fiber))
  for (const fiber of fibers) {
    const exit = yield* Effect.exit(Effect.timeoutOption(Fiber.await(fiber), hangLimit))
    recorder.count("openings")
    recorder.expect(Exit.isSuccess(exit) && Option.isSome(exit.value), "an opening does not end")
    if (Exit.isSuccess(exit) && Option.isSome(exit.value)) {
      expectEnd(recorder, "use while opening", Exit.map(exit.value.value, Option.some))
    }
  }
  yield* use
}, Effect.scoped)

/** Deals methods out to groups of one to four. */
const dealt = (random: Random): ReadonlyArray<ReadonlyArray<readonly [string, Call]>> => {
  const shuffled = Object.entries(methods).map((method) => [random.below(1e9), method] as const)
    .toSorted(([a], [b]) => a - b)
    .map(([, method]) => method)
  const groups: Array<ReadonlyArray<readonly [string, Call]>> = []
  for (let at = 0; at < shuffled.length;) {
    const size = random.between(1, 4)
    groups.push(shuffled.slice(at, at + size))
    at += size
  }
  return groups
}

/** Calls every method in every state, alone or in random company. */
export const everyState: (random: Random) => Effect.Effect<Report, unknown> = Effect.fnUntraced(
  function*(random: Random) {
    const recorder = record()
    for (const state of states) {
      for (const group of dealt(random)) yield* callIn(state, group, random, recorder)
    }
    yield* whileOpening(random, recorder)
    return recorder.report()
  }
)
