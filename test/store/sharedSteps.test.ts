/** The steps of a shared store that are decided inside of their commit. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { spawn, spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { Collection, Store, type StoreOptions } from "../../src/index.ts"
import * as StoreInternals from "../../src/internal/store/storeInternals.ts"
import * as OpenDefinitions from "../../src/internal/transaction/openDefinitions.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import { openUsers, user, userOf, watchedUsers } from "../support/fixtures/collections.ts"
import { below, contentOf, increment } from "../support/fixtures/transactions.ts"
import { faultyStore, start, temporaryFolder } from "../support/harness.ts"
import { openWith } from "../support/streaming.ts"
import { testLimit } from "../support/timeLimits.ts"

const programs = {
  writer: new URL("../programs/sharedWriter.ts", import.meta.url).pathname,
  held: new URL("../programs/heldCommit.ts", import.meta.url).pathname
}

const shared: Partial<StoreOptions> = { shared: true, flushInterval: "Infinity" }

/** A shared store whose commits are counted, and wait when the test says so. */
const openCounted = Effect.fnUntraced(function*(options: Partial<StoreOptions> = {}) {
  const commits = { count: 0, gate: Effect.void }
  const opened = yield* openWith({ ...shared, ...options }, ({ commit }) => ({
    commit: (plan) =>
      Effect.suspend(() => {
        commits.count++
        return Effect.andThen(commits.gate, commit(plan))
      })
  }))
  const users = yield* Effect.provideService(openUsers, Store, opened.store)
  const plain = yield* Effect.provideService(
    Collection.make("plain", { key: Schema.String, value: Schema.Number }),
    Store,
    opened.store
  )
  commits.count = 0
  return { ...opened, commits, plain, users }
})

/** Lets another process do a job while this one stands still, so that what it has read last is out of date. */
const whileStanding = (path: string, job: string, times: number) =>
  Effect.sync(() => {
    const { stderr, status } = spawnSync(process.execPath, [programs.writer, path, job, "0", `${times}`], {
      encoding: "utf8",
      input: "go\n"
    })
    assert.strictEqual(stderr, "")
    assert.strictEqual(status, 0)
  })

describe("a step after an unseen commit of another process", () => {
  it.effect("finds the present key, address and record", () =>
    Effect.gen(function*() {
      const { path, users } = yield* openCounted()
      assert.isFalse(yield* users.has(0))
      yield* whileStanding(path, "keys", 3)
      assert.isFalse(yield* users.has(0), "it reads what it has read before, in the same turn of the event loop")
      const [key, address, deleted, updated, thrown] = yield* Effect.all([
        Effect.result(users.insert(0, user())),
        Effect.result(users.put(9, userOf("0 1", 1))),
        Effect.result(users.deleteOrFail(2)),
        users.update(1, Option.map((found) => userOf(found.name, 50))),
        users.update(1, (found) => Option.some(userOf(Option.getOrThrow(found).name, 51)))
      ], { concurrency: "unbounded" })
      assert.propertyVal(Result.getOrThrow(Result.flip(key)), "_tag", "KeyExists")
      assert.propertyVal(Result.getOrThrow(Result.flip(address)), "existingKey", 1)
      assert.isTrue(Result.isSuccess(deleted))
      assert.strictEqual(Option.getOrThrow(updated).age, 50)
      assert.strictEqual(Option.getOrThrow(thrown).age, 51)
      assert.isTrue(yield* users.has(0), "what a step has found is seen from then on")
      assert.deepStrictEqual(yield* users.verify, [])
    }), testLimit)

  it.effect("updates the present value, and does not delete a missing one", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openCounted()
      yield* store.putMany({ counter: 1, "key 0": 1, "key 1": 1 })
      yield* store.get("counter")
      yield* whileStanding(path, "counter", 5)
      yield* Effect.flatMap(store.get("counter"), (value) =>
        Effect.sync(() => assert.deepStrictEqual(value, Option.some(1))))
      const [missing, added] = yield* Effect.all([
        Effect.exit(store.update("none", (value) =>
          Option.some(Option.getOrThrow(value)))),
        store.update("counter", (value) => {
          if (Option.contains(value, 1)) throw new Error("that was long ago")
          return increment(value)
        })
      ], { concurrency: "unbounded" })
      assert.isTrue(Exit.hasDies(missing))
      assert.deepStrictEqual(added, Option.some(7))
      yield* store.get("key 0")
      yield* whileStanding(path, "deletions", 1)
      const [gone, there] = yield* Effect.all(
        [Effect.result(store.deleteOrFail("key 0")), Effect.result(store.deleteOrFail("key 1"))],
        { concurrency: "unbounded" }
      )
      assert.propertyVal(Result.getOrThrow(Result.flip(gone)), "_tag", "KeyNotFound")
      assert.isTrue(Result.isSuccess(there))
    }), testLimit)

  it.effect(
    "reads a record whose field names another process has defined during the wait",
    () =>
      Effect.gen(function*() {
        const asked = yield* Deferred.make<void>()
        const path = yield* temporaryFolder
        const { store } = yield* openWith({ ...shared, path }, ({ commit }) => ({
          commit: (plan) => Effect.andThen(Deferred.succeed(asked, undefined), commit(plan))
        }))
        const signal = join(path, "go")
        const child = yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn(process.execPath, [programs.held, path, "mine", signal], { stdio: ["ignore", "pipe", "inherit"] })
          ),
          (started) => Effect.sync(() => started.kill("SIGKILL"))
        )
        yield* Effect.callback<void>((resume) => {
          child.stdout.once("data", () => resume(Effect.void))
        })
        const updating = yield* start(store.update("mine", Option.map((found) => ({ found }))))
        yield* Deferred.await(asked)
        writeFileSync(signal, "")
        assert.deepStrictEqual(
          yield* Fiber.join(updating),
          Option.some({ found: { firstOfItsNames: 40, secondOfItsNames: "mine" } })
        )
      }),
    testLimit
  )
})

/** What came of a call that thirty fibers make at the same time. */
const outcomesOf = <E extends { readonly _tag: string }>(call: Effect.Effect<void, E>) =>
  Effect.replicateEffect(Effect.result(call), 30, { concurrency: "unbounded" }).pipe(
    Effect.map((results) => results.map((result) => Result.isSuccess(result) ? "done" : result.failure._tag))
  )

describe("fibers that share a commit", () => {
  it.effect("insert a thousand records with a few commits and as many waits for the disk", () =>
    Effect.gen(function*() {
      const { commits, store, users } = yield* openCounted()
      yield* Effect.forEach(below(1000), (n) => users.insert(n, userOf(`${n}`, n)), {
        concurrency: "unbounded",
        discard: true
      })
      assert.isAtMost(commits.count, 5)
      assert.strictEqual((yield* store.stats).pending, 0)
      assert.strictEqual(yield* users.size, 1000)
    }))

  it.effect("update one key and one record a thousand times with a few commits", () =>
    Effect.gen(function*() {
      const { commits, store, users } = yield* openCounted()
      yield* users.insert(1, user({ age: 0 }))
      const older = users.update(1, Option.map((found) => user({ age: found.age + 1 })))
      const both = Effect.all([store.update("counter", increment), older], { concurrency: "unbounded" })
      yield* Effect.replicateEffect(both, 1000, { concurrency: "unbounded", discard: true })
      assert.strictEqual(yield* store.getOrFail("counter"), 1000)
      assert.strictEqual((yield* users.getOrFail(1)).age, 1000)
      assert.isAtMost(commits.count, 10)
      assert.deepStrictEqual(yield* users.verify, [])
    }))

  it.effect("read records whose field names are defined in the same batch", () =>
    Effect.gen(function*() {
      const { store } = yield* openCounted()
      yield* store.putMany({ k0: 0 })
      const entries = Array.from({ length: 1000 }, (_, id) => [`k${id}`, { id, name: `name ${id}` }] as const)
      const identity = store.update("k999", (value) => value)
      yield* Effect.all([store.putMany(entries), identity], { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* store.getOrFail("k999"), { id: 999, name: "name 999" })
    }))

  it.effect("insert or delete one key, thirty at a time: one of each succeeds", () =>
    Effect.gen(function*() {
      const { plain } = yield* openCounted()
      const inserted = yield* outcomesOf(plain.insert("a", 1))
      assert.deepStrictEqual(inserted, ["done", ...below(29).map(() => "KeyExists")])
      const deleted = yield* outcomesOf(plain.deleteOrFail("a"))
      assert.deepStrictEqual(deleted, ["done", ...below(29).map(() => "KeyNotFound")])
    }))

  it.effect("lose no update if their schema is asynchronous", () =>
    Effect.gen(function*() {
      const { store } = yield* openCounted()
      const slow = Schema.Number.pipe(Schema.decodeTo(Schema.Number, {
        decode: SchemaGetter.transformEffect((n: number) => Effect.as(Effect.yieldNow, n)),
        encode: SchemaGetter.transformEffect((n: number) => Effect.as(Effect.yieldNow, n))
      }))
      const counters = yield* Effect.provideService(
        Collection.make("counters", { key: Schema.String, value: slow }),
        Store,
        store
      )
      yield* Effect.replicateEffect(counters.update("a", increment), 30, { concurrency: "unbounded", discard: true })
      assert.strictEqual(yield* counters.getOrFail("a"), 30)
    }))

  it.effect("do not share an error that a function throws", () =>
    Effect.gen(function*() {
      const { store } = yield* openCounted()
      yield* store.putMany({ a: 1 })
      const throwing = Option.map((value: unknown) => {
        if (value === 2) throw new Error("no twos")
        return value
      })
      const [first, thrown, last] = yield* Effect.all(
        [store.update("a", increment), store.update("a", throwing), store.update("a", increment)].map(Effect.exit),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(first, Exit.succeed(Option.some(2)))
      assert.deepStrictEqual(thrown, Exit.die(new Error("no twos")))
      assert.deepStrictEqual(last, Exit.succeed(Option.some(3)))
    }))
})

describe("a step of a shared store", () => {
  it.effect("is on disk when it returns, and puts and deletes stay buffered without a unique index", () =>
    Effect.gen(function*() {
      const { commits, plain, store, users } = yield* openCounted()
      const commitsOf = Effect.fnUntraced(function*(call: Effect.Effect<unknown, unknown>) {
        yield* store.flush
        commits.count = 0
        yield* call
        return [commits.count, (yield* store.stats).pending]
      })
      const exact = [
        users.insert(1, user()),
        users.update(1, () => Option.some(user({ age: 2 }))),
        users.put(1, user({ age: 3 })),
        users.delete(1),
        users.put(1, user()),
        users.deleteOrFail(1),
        plain.insert("a", 1),
        plain.update("a", () => Option.some(2)),
        plain.deleteOrFail("a"),
        store.update("a", increment),
        store.deleteOrFail("a")
      ]
      for (const call of exact) assert.deepStrictEqual(yield* commitsOf(call), [1, 0])
      const buffered = [plain.put("a", 1), plain.delete("a"), store.put("a", 1), store.delete("a")]
      for (const call of buffered) assert.deepStrictEqual(yield* commitsOf(call), [0, 1])
    }))

  it.effect("comes after the pending writes, in the same commit", () =>
    Effect.gen(function*() {
      const { plain, store } = yield* openCounted()
      yield* plain.put("a", 1)
      assert.propertyVal(yield* Effect.flip(plain.insert("a", 2)), "_tag", "KeyExists")
      yield* plain.delete("a")
      yield* plain.insert("a", 3)
      assert.strictEqual(yield* plain.getOrFail("a"), 3)
      yield* store.put("b", 1)
      assert.deepStrictEqual(yield* store.update("b", increment), Option.some(2))
      yield* store.delete("b")
      assert.propertyVal(yield* Effect.flip(store.deleteOrFail("b")), "_tag", "KeyNotFound")
      yield* store.put("b", 1)
      yield* store.deleteOrFail("b")
      assert.deepStrictEqual(yield* contentOf(store), {})
    }))

  it.effect("comes before a put during its commit", () =>
    Effect.gen(function*() {
      const { commits, plain } = yield* openCounted()
      const committing = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      commits.gate = Effect.andThen(Deferred.succeed(committing, undefined), Deferred.await(goOn))
      const inserting = yield* start(plain.insert("a", 1))
      yield* Deferred.await(committing)
      const putting = yield* start(plain.put("a", 2))
      commits.gate = Effect.void
      yield* Deferred.succeed(goOn, undefined)
      yield* Fiber.join(inserting)
      yield* Fiber.join(putting)
      assert.strictEqual(yield* plain.getOrFail("a"), 2)
    }))

  it.effect("calls the function of an update once if no other process writes in between, and writes nothing if it changes nothing", () =>
    Effect.gen(function*() {
      const { store } = yield* openCounted()
      let calls = 0
      const count = (next: Option.Option<unknown>) => () => {
        calls++
        return next
      }
      yield* store.update("a", count(Option.some(1)))
      assert.strictEqual(calls, 1)
      const before = (yield* store.stats).usedBytes
      assert.deepStrictEqual(yield* store.update("b", count(Option.none())), Option.none())
      assert.strictEqual(calls, 2)
      assert.strictEqual((yield* store.stats).usedBytes, before)
      assert.deepStrictEqual(yield* store.update("a", count(Option.none())), Option.none())
      assert.deepStrictEqual(yield* contentOf(store), {})
    }))

  it.effect("writes nothing if it fails, and otherwise one batch", () =>
    Effect.gen(function*() {
      const { batches, users } = yield* watchedUsers({ shared: true })
      yield* users.insert(1, user())
      assert.strictEqual(batches.length, 1)
      assert.propertyVal(yield* Effect.flip(users.insert(2, user())), "_tag", "UniqueViolation")
      assert.propertyVal(yield* Effect.flip(users.insert(1, userOf("Bob", 1))), "_tag", "KeyExists")
      assert.propertyVal(yield* Effect.flip(users.deleteOrFail(2)), "_tag", "KeyNotFound")
      assert.deepStrictEqual(batches.slice(1), [[], [], []])
      assert.deepStrictEqual(yield* users.verify, [])
    }))

  it.effect("fails with the error of its commit, and can be repeated", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore(shared)
      yield* store.putMany({ a: 1 })
      yield* faulty.fail("commit", faults.diskFull)
      assert.strictEqual(yield* Effect.flip(store.update("a", increment)), faults.diskFull)
      yield* faulty.fail("commit", faults.diskFull)
      assert.strictEqual(yield* Effect.flip(store.deleteOrFail("a")), faults.diskFull)
      assert.deepStrictEqual(yield* contentOf(store), { a: 1 })
      yield* store.deleteOrFail("a")
      assert.deepStrictEqual(yield* contentOf(store), {})
    }))

  it.effect("that only deletes makes room in a full file, also with pending puts that do not fit", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ ...shared, path, maxMapSize: "1 MiB", batchBytes: "64 MiB" })
      let filled = 0
      const fill = Effect.suspend(() => store.putMany([[`${filled}`, "x".repeat(20_000)]]))
      while (Exit.isSuccess(yield* Effect.exit(fill))) filled++
      yield* store.put("pending", "x".repeat(40_000))
      assert.propertyVal(
        yield* Effect.flip(store.update("more", () => Option.some("x".repeat(40_000)))),
        "_tag",
        "MapFull"
      )
      for (const n of below(10)) yield* store.deleteOrFail(`${n}`)
      yield* store.flush
      assert.isTrue(yield* store.has("pending"))
      assert.strictEqual(yield* store.size, filled - 10 + 1)
    }))

  it.effect("that is interrupted before its commit writes nothing, and one whose commit has started is completed", () =>
    Effect.gen(function*() {
      const { commits, plain } = yield* openCounted()
      const committing = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      commits.gate = Effect.andThen(Deferred.succeed(committing, undefined), Deferred.await(goOn))
      const first = yield* start(plain.insert("a", 1))
      yield* Deferred.await(committing)
      const second = yield* start(plain.insert("b", 1))
      yield* Fiber.interrupt(second)
      const interrupting = yield* start(Fiber.interrupt(first))
      yield* Deferred.succeed(goOn, undefined)
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual([yield* plain.has("a"), yield* plain.has("b")], [true, false])
    }))

  it.effect("of a closing store succeeds or fails with Closed, and of a read-only store fails with ReadOnly", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ ...shared, path })
      const updating = yield* start(Effect.result(store.update("a", increment)))
      yield* store.close({ strict: true })
      assert.isTrue(Result.isSuccess(yield* Fiber.join(updating)))
      assert.propertyVal(yield* Effect.flip(store.update("a", increment)), "_tag", "Closed")
      const reader = yield* Store.make({ ...shared, path, readOnly: true })
      assert.strictEqual(yield* reader.getOrFail("a"), 1)
      assert.propertyVal(yield* Effect.flip(reader.deleteOrFail("a")), "_tag", "ReadOnly")
    }))

  it.effect("inside a transaction is a part of it", () =>
    Effect.gen(function*() {
      const { commits, store, users } = yield* openCounted()
      yield* store.withTransaction(Effect.gen(function*() {
        yield* users.insert(1, user())
        yield* store.update("a", increment)
        assert.propertyVal(yield* Effect.flip(users.insert(2, user())), "_tag", "UniqueViolation")
        yield* users.deleteOrFail(1)
        yield* users.insert(2, user())
        assert.strictEqual(commits.count, 0)
      }))
      assert.strictEqual(commits.count, 1)
      assert.deepStrictEqual([yield* users.has(1), yield* users.has(2)], [false, true])
    }))

  it.effect("that waits while another definition opens the collection fails with Closed", () =>
    Effect.gen(function*() {
      const { commits, store, users } = yield* openCounted()
      const committing = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      commits.gate = Effect.andThen(Deferred.succeed(committing, undefined), Deferred.await(goOn))
      const calls = [users.insert(1, user()), users.delete(2), users.update(3, () => Option.some(user()))]
      const fibers = yield* Effect.forEach(calls, (call) =>
        start(Effect.result(Effect.asVoid<unknown, unknown, never>(call))))
      yield* Deferred.await(committing)
      const { definitions } = StoreInternals.of(store).access.handle.core
      OpenDefinitions.take(definitions, "users", "another")
      yield* Deferred.succeed(goOn, undefined)
      for (const fiber of fibers) {
        assert.propertyVal(Result.getOrThrow(Result.flip(yield* Fiber.join(fiber))), "what", "Collection")
      }
    }))
})
