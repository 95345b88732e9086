/**
 * Every call of an engine fails once, one run of a scenario for each: what was taken
 * stays, what failed changed nothing, and all of it can be committed afterwards.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { Engine } from "../../src/Engine.ts"
import { Store, type StoreService } from "../../src/index.ts"
import { temporaryFolder } from "../harness.ts"
import * as FailingEngine from "./failingEngine.ts"
import { record, type Recorder, type Report } from "./section.ts"

type Model = ReadonlyMap<string, unknown>

/** A step of the scenario. */
interface Step {
  readonly name: string
  readonly run: (store: StoreService, folder: string) => Effect.Effect<unknown, { readonly _tag: string }>
  /** What the store holds when it succeeded. */
  readonly change?: (model: Map<string, unknown>) => void
  /** Whether it waits for its own commit, which may have been made although it failed. */
  readonly isUnit?: boolean
}

const put = (key: string, value: unknown): Step => ({
  name: `put ${key}`,
  run: (store) => store.put(key, value),
  change: (model) => model.set(key, value)
})

const remove = (key: string): Step => ({
  name: `delete ${key}`,
  run: (store) => store.delete(key),
  change: (model) => model.delete(key)
})

const putMany = (entries: Readonly<Record<string, unknown>>): Step => ({
  name: `putMany ${Object.keys(entries).join()}`,
  run: (store) => store.putMany(entries),
  change: (model) => Object.entries(entries).forEach(([key, value]) => model.set(key, value)),
  isUnit: true
})

const read = (name: string, run: Step["run"]): Step => ({ name, run })

const flush = read("flush", (store) => store.flush)

/** More than the map has room for at first. */
const large = "x".repeat(300_000)

/** All methods of a store, on a store that grows. */
const scenario: ReadonlyArray<Step> = [
  put("a", 1),
  put("b", "two"),
  read("get", (store) => store.get("a")),
  putMany({ a: 3, c: [4] }),
  read("has", (store) => store.has("missing")),
  put("d", 5),
  {
    name: "update",
    run: (store) => store.update("c", () => Option.some("updated")),
    change: (model) => model.set("c", "updated")
  },
  flush,
  put("e", large),
  put("f", 6),
  remove("a"),
  read("size", (store) => store.size),
  read("getMany", (store) => store.getMany(["a", "b", "missing"])),
  flush,
  {
    name: "deleteOrFail",
    run: (store) => store.deleteOrFail("b"),
    change: (model) => model.delete("b")
  },
  read("entries", (store) => Stream.runCollect(store.entries())),
  read("count", (store) => store.count({ gte: "c" })),
  putMany({ e: "small", g: large, h: large, i: 7 }),
  // More than a batch: these are committed without being asked
  ...Array.from({ length: 7 }, (_, index) => put(`many ${index}`, index)),
  {
    name: "deleteMany",
    run: (store) => store.deleteMany(["many 0", "g", "missing"]),
    change: (model) => ["many 0", "g"].forEach((key) => model.delete(key)),
    isUnit: true
  },
  {
    name: "deleteRange",
    run: (store) => store.deleteRange({ prefix: "many " }),
    change: (model) => [...model.keys()].filter((key) => key.startsWith("many ")).forEach((key) => model.delete(key)),
    isUnit: true
  },
  read("stats", (store) => store.stats),
  put("j", 8),
  read("backup", (store, folder) => store.backup(join(folder, "copy"))),
  { name: "clear", run: (store) => store.clear, change: (model) => model.clear(), isUnit: true },
  put("k", 9),
  putMany({ l: 10 }),
  put("m", 11)
]

const contents = (store: StoreService) =>
  Effect.map(Stream.runCollect(store.entries()), (entries): Model => new Map(entries))

const sorted = (model: Model): Model => new Map([...model].toSorted(([a], [b]) => a < b ? -1 : 1))

const isSame = (a: Model, b: Model): boolean => isDeepStrictEqual(sorted(a), sorted(b))

const showKeys = (seen: Model, expected: Model): string =>
  `it holds ${[...seen.keys()].join()} and not ${[...expected.keys()].join()}`

const changed = (model: Model, { change }: Step): Model => {
  const next = new Map(model)
  change?.(next)
  return next
}

/** Runs the scenario with a fault; gives how many calls there were. */
const runWith = Effect.fnUntraced(function*(fault: FailingEngine.Fault, recorder: Recorder) {
  const folder = yield* temporaryFolder
  const options = {
    path: join(folder, "store"),
    mapSize: "256 KiB",
    batchSize: 4,
    flushInterval: "Infinity",
    durability: "noSync"
  } as const
  const failing = yield* FailingEngine.make(fault)
  const lose = (step: string, loss: string) => recorder.lose(`${JSON.stringify(fault)}, ${step}: ${loss}`)
  let model: Model = new Map()

  yield* Effect.scoped(Effect.gen(function*() {
    const open = Effect.provideService(Store.makeWithEngine(options), Engine, failing.engine)
    const refused = Effect.tap(Effect.sync(failing.heal), () => Effect.sync(() => recorder.count("typed errors")))
    const store = yield* Effect.catchTag(open, "OpenFailed", () => Effect.andThen(refused, open))
    for (const step of scenario) {
      const result = yield* Effect.result(step.run(store, folder))
      const next = changed(model, step)
      const mayBe = result._tag === "Success" ? [next] : fault.isLate && step.isUnit === true ? [model, next] : [model]
      if (result._tag === "Failure") {
        const { failure } = result
        recorder.count("typed errors")
        const isRight = failure._tag === "EngineFailure" && "code" in failure && failure.code === fault.code
        // What is deleted may be there no more, or not yet again
        if (!isRight && failure._tag !== "KeyNotFound") lose(step.name, `failed with ${failure._tag}`)
      }
      const seen = yield* failing.unharmed(contents(store))
      // A clear that was made although it failed leaves what was pending, which it could not know to drop
      const isRest = fault.isLate && step.name === "clear" && [...seen.keys()].every((key) => model.has(key))
      const found = isRest ? seen : mayBe.find((each) => isSame(each, seen))
      if (found === undefined) lose(step.name, showKeys(seen, next))
      model = found ?? seen
    }
    failing.heal()
    // The first may wait for a commit that failed before
    const healed = yield* Effect.result(Effect.catch(store.flush, () => store.flush))
    if (healed._tag === "Failure") lose("the last flush", healed.failure.message)
    yield* store.close({ strict: true })
  }))
  const onDisk = yield* Effect.scoped(Effect.flatMap(Store.make({ ...options, readOnly: true }), contents))
  if (!isSame(model, onDisk)) lose("opened again", showKeys(onDisk, model))
  return failing.calls()
}, Effect.scoped)

/** Runs the scenario as often as it has calls, one more of them each time. */
export const everyCall: (
  variant: Omit<FailingEngine.Fault, "call">
) => Effect.Effect<Report, unknown> = Effect.fnUntraced(function*(variant) {
  const recorder = record()
  const calls = yield* runWith({ ...variant, call: Infinity }, recorder)
  recorder.count("most calls of a scenario", calls)
  for (let call = 1; call <= calls; call++) {
    recorder.count("calls that failed")
    yield* Effect.timeoutOrElse(Effect.asVoid(runWith({ ...variant, call }, recorder)), {
      duration: "20 seconds",
      orElse: () => Effect.sync(() => recorder.lose(`${JSON.stringify({ ...variant, call })}: nothing comes any more`))
    })
  }
  return recorder.report()
})
