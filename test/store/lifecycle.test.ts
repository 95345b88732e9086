/** Several handles on one path, spellings of a path, and opening while another closes. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { existsSync, mkdirSync, readdirSync, symlinkSync } from "node:fs"
import { basename, dirname, join, relative } from "node:path"
import * as process from "node:process"
import * as Engine from "../../src/Engine.ts"
import { Collection, type OpenFailed, Store, type StoreOptions, type StoreService } from "../../src/index.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import { leaving } from "../support/fixtures/transactions.ts"
import { faultyStore, start, temporaryFolder, turns, withStore } from "../support/harness.ts"

const refuses = (options: StoreOptions) =>
  Effect.map(Effect.flip(Effect.scoped(Store.make(options))), (error: OpenFailed) => {
    assert.strictEqual(error._tag, "OpenFailed")
    return error.reason._tag
  })

const keyOf = (letter: string) => Redacted.make(letter.repeat(32))

/** Two schedules that do the same are two objects. */
const twice = (): Schedule.Schedule<unknown> => Schedule.recurs(3)

/** Opens a store whose scope is closed by hand. */
const openScoped = Effect.fnUntraced(function*(options: StoreOptions) {
  const scope = yield* Scope.make()
  const store = yield* Scope.provide(Store.make(options), scope)
  return { store, close: Scope.close(scope, Exit.void) }
})

describe("the same path in one process", () => {
  it.effect("is the same store if the options are equal: one handle sees the writes of the other at once", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const options = {
        path,
        batchSize: 7,
        flushInterval: "3 seconds",
        maxMapSize: "8 MiB",
        encryptionKey: Redacted.make("k".repeat(32))
      } as const
      const first = yield* Store.make(options)
      // The same figures in other words are the same options
      const second = yield* Store.make({
        ...options,
        flushInterval: 3000,
        maxMapSize: 8 * 1024 * 1024,
        encryptionKey: Redacted.make("k".repeat(32))
      })
      yield* first.put("a", 1)
      assert.strictEqual(yield* second.getOrFail("a"), 1)
      yield* second.delete("a")
      assert.isFalse(yield* first.has("a"))
    }))

  it.effect("closes only with its last handle, and the calls of each handle fail with Closed after its own close", () =>
    Effect.gen(function*() {
      const { faulty, open, store: first } = yield* faultyStore()
      const second = yield* open
      yield* first.put("a", 1)
      yield* first.close({ strict: true })
      assert.propertyVal(yield* Effect.flip(first.get("a")), "_tag", "Closed")
      // Each close commits what is pending
      assert.strictEqual(faulty.calls("commit"), 1)
      assert.strictEqual(yield* second.getOrFail("a"), 1)
      yield* second.put("b", 2)
      yield* second.flush
      yield* first.close({ strict: true })
      assert.strictEqual(yield* second.getOrFail("b"), 2)
      yield* second.close({ strict: true })
      assert.propertyVal(yield* Effect.flip(second.get("a")), "_tag", "Closed")
    }))

  it.effect("the close of one of two handles fails with the error of its commit, and the other continues to work", () =>
    Effect.gen(function*() {
      const { faulty, open, store: first } = yield* faultyStore()
      const second = yield* open
      yield* first.put("a", 1)
      yield* faulty.fail("commit", faults.diskFull)
      assert.strictEqual(yield* Effect.flip(first.close({ strict: true })), faults.diskFull)
      assert.strictEqual(yield* second.getOrFail("a"), 1)
      yield* second.flush
    }))

  it.effect.each<readonly [Partial<StoreOptions>, string]>([
    [{ batchSize: 2 }, "batchSize: it is 2 here and 1000 where"],
    [{ batchBytes: "1 MiB" }, "batchBytes: it is 1,048,576 bytes here and 4,194,304 bytes where"],
    [{ flushInterval: "2 seconds" }, "flushInterval: it is 2s here and 1s where"],
    [{ flushInterval: "Infinity" }, "flushInterval: it is Infinity here and 1s where"],
    [{ keyEncoding: "latin1" }, "keyEncoding: it is latin1 here and utf8 where"],
    [{ keyErrors: "replace" }, "keyErrors: it is replace here and strict where"],
    [{ keyNormalization: "NFC" }, "keyNormalization: it is NFC here and not given where"],
    [{ mapSize: "32 MiB" }, "mapSize: it is 33,554,432 bytes here and 67,108,864 bytes where"],
    [{ maxMapSize: "1 GiB" }, "maxMapSize: it is 1,073,741,824 bytes here and not given where"],
    [{ durability: "noSync" }, "durability: it is noSync here and sync where"],
    [{ compression: true }, "compression: it is true here and false where"],
    [{ checksums: true }, "checksums: it is true here and false where"],
    [{ fileMode: 0o640 }, "fileMode: it is 0o640 here and 0o600 where"],
    [{ readOnly: true }, "readOnly: it is true here and false where"],
    [{ shared: true }, "shared: it is true here and false where"]
  ])(
    "is refused as AlreadyOpen when an option that all handles share differs: %o",
    ([different, message]) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const store = yield* Store.make({ path })
        const error = yield* Effect.flip(Effect.asVoid(Store.make({ path, ...different })))
        assert.strictEqual(error.reason._tag, "AlreadyOpen")
        assert.deepStrictEqual([error.option], Object.keys(different))
        assert.include(error.message, `option ${message} this process has the same store open`)
        yield* store.put("a", 1)
        yield* store.close({ strict: true })
        // After the last handle was closed, other options are fine
        yield* withStore({ path, ...different }, (other) => other.get("a"))
      })
  )

  it.effect("is refused with another encryption key, and the error does not show the key", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Store.make({ path, encryptionKey: keyOf("a") })
      yield* Store.make({ path, encryptionKey: keyOf("a") })
      for (const encryptionKey of [keyOf("b"), undefined]) {
        const error = yield* Effect.flip(Effect.asVoid(Store.make({ path, encryptionKey })))
        assert.deepStrictEqual([error.reason._tag, error.option], ["AlreadyOpen", "encryptionKey"])
        assert.notMatch(error.message, /aaa|bbb|redacted/)
      }
    }))

  it.effect("is the same store when equal options are written twice, schedules and functions too", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const layer = () =>
        Store.layer({
          path,
          flushInterval: "3 seconds",
          resize: twice(),
          transactionRetry: twice(),
          formatKey: (key) => typeof key === "string" ? key : "bytes"
        })
      const context = yield* Layer.build(Layer.fresh(layer()))
      yield* Context.get(context, Store).put("a", 1)
      const found = Effect.flatMap(Store, (store) => store.getOrFail("a"))
      assert.strictEqual(yield* Effect.provide(found, layer()), 1)
    }))

  it.effect("has separate options for each handle", () =>
    Effect.gen(function*() {
      const { faulty, open, path, store: plain } = yield* faultyStore({ flushInterval: "Infinity" })
      const other = yield* Effect.provideService(
        Store.makeWithEngine({
          path,
          flushInterval: "Infinity",
          formatKey: () => "hidden",
          autoFlushOnRead: true,
          transactionRetry: Schedule.recurs(0),
          resize: twice(),
          verify: true,
          closeFailure: "log"
        }),
        Engine.Engine,
        faulty.engine
      )
      assert.include((yield* Effect.flip(plain.getOrFail("a"))).message, "\"a\"")
      assert.strictEqual((yield* Effect.flip(other.getOrFail("a"))).message, "Key not found: hidden")

      yield* plain.put("a", 1)
      yield* plain.get("missing")
      assert.strictEqual(faulty.calls("commit"), 0)
      yield* other.get("missing")
      assert.strictEqual(faulty.calls("commit"), 1)

      let changes = 100
      const attemptsOf = (store: StoreService) =>
        Effect.gen(function*() {
          let attempts = 0
          const conflicting = store.withTransaction(Effect.gen(function*() {
            attempts++
            yield* store.get("a")
            if (attempts < 3) yield* outside(plain.putMany({ a: changes++ }))
            yield* store.put("b", 1)
          }))
          const outside = yield* leaving
          yield* Effect.ignore(conflicting)
          return attempts
        })
      assert.deepStrictEqual([yield* attemptsOf(other), yield* attemptsOf(plain)], [1, 3])
      yield* Effect.asVoid(open)
    }))

  it.effect("has a separate formatKey for each handle in the errors of collections", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const messageWith = (options: Partial<StoreOptions>) =>
        Effect.gen(function*() {
          const ages = yield* Collection.make("ages", { key: Schema.String, value: Schema.Int })
          return (yield* Effect.flip(ages.getOrFail("Anna"))).message
        }).pipe(Effect.provide(Store.layer({ ...options, path })))
      yield* Store.make({ path })
      assert.include(yield* messageWith({}), "\"Anna\"")
      assert.include(yield* messageWith({ formatKey: () => "hidden" }), ": hidden")
    }))

  it.effect("under other spellings is the same store", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const path = join(folder, "store")
      const store = yield* Store.make({ path })
      yield* store.put("a", 1)
      symlinkSync(folder, join(folder, "link"))
      symlinkSync(path, join(folder, "direct"))
      const spellings = [
        `${path}/`,
        `${folder}/./store`,
        `${folder}/other/../store`,
        relative(process.cwd(), path),
        join(folder, "link", "store"),
        join(folder, "link", "link", "store", "."),
        join(folder, "direct")
      ]
      for (const spelling of spellings) {
        assert.strictEqual(yield* withStore({ path: spelling }, (same) => same.getOrFail("a")), 1, spelling)
      }
    }))

  it.effect("under other spellings is the same store also if the folder does not exist yet", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      mkdirSync(join(folder, "real"))
      symlinkSync(join(folder, "real"), join(folder, "link"))
      const [first, second] = yield* Effect.all(
        [
          Store.make({ path: join(folder, "real", "a", "b") }),
          Store.make({ path: join(folder, "link", "a", "b", "") })
        ],
        { concurrency: "unbounded" }
      )
      yield* first.put("a", 1)
      assert.strictEqual(yield* second.getOrFail("a"), 1)
    }))

  it.effect("as a file and as a folder are two stores side by side", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const inFolder = yield* Store.make({ path: folder })
      const inFile = yield* Store.make({ path: join(folder, "other.mdb"), subdirectory: false })
      yield* inFolder.put("a", "folder")
      yield* inFile.put("a", "file")
      assert.strictEqual(yield* inFolder.getOrFail("a"), "folder")
      assert.strictEqual(yield* inFile.getOrFail("a"), "file")
    }))

  it.effect("as the folder and as the file inside it is refused, never opened twice", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Store.make({ path })
      assert.strictEqual(yield* refuses({ path: join(path, "data.mdb"), subdirectory: false }), "AlreadyOpen")
    }))

  it.effect("opened by independent programs is the same store", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path })
      yield* store.put("a", 1)
      const other = Effect.scoped(Effect.flatMap(Store.make({ path }), (same) => same.getOrFail("a")))
      assert.strictEqual(yield* Effect.promise(() => Effect.runPromise(other)), 1)
      const layered = Effect.provide(Effect.flatMap(Store, (same) => same.getOrFail("a")), Store.layer({ path }))
      assert.strictEqual(yield* Effect.promise(() => Effect.runPromise(layered)), 1)
    }))
})

describe("opening and closing", () => {
  it.effect("fifty fibers may open one path at once", () =>
    Effect.gen(function*() {
      const path = join(yield* temporaryFolder, "new", "folder")
      yield* Effect.forEach(
        Array.from({ length: 50 }, (_, index) => index),
        (index) =>
          withStore({ path }, (store) =>
            Effect.gen(function*() {
              yield* store.put(`key ${index}`, index)
              yield* turns(index % 7)
              if (index % 3 === 0) yield* store.flush
            })),
        { concurrency: "unbounded", discard: true }
      )
      assert.strictEqual(yield* withStore({ path }, (store) => store.size), 50)
    }))

  it.effect("a path can be opened again at once, many times", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      for (let round = 0; round < 30; round++) {
        yield* withStore({ path }, (store) =>
          Effect.gen(function*() {
            assert.strictEqual(yield* store.size, round)
            yield* store.put(`key ${round}`, round)
          }))
      }
    }))

  it.effect("opening a path while it closes waits, and sees the writes of the last commit", () =>
    Effect.gen(function*() {
      const { faulty, open, store } = yield* faultyStore()
      yield* store.put("a", 1)
      const held = yield* faulty.holdCommit
      const closing = yield* start(store.close({ strict: true }))
      yield* held.isWanted
      const opening = yield* start(open)
      yield* turns(20)
      assert.isUndefined(opening.pollUnsafe())
      yield* held.release
      yield* Fiber.join(closing)
      const again = yield* Fiber.join(opening)
      assert.strictEqual(yield* again.getOrFail("a"), 1)
    }))

  it.effect("an opening that is interrupted while it waits leaves no files and locks", () =>
    Effect.gen(function*() {
      const { faulty, open, store } = yield* faultyStore()
      yield* store.put("a", 1)
      const held = yield* faulty.holdCommit
      const closing = yield* start(store.close())
      yield* held.isWanted
      const opening = yield* start(Effect.scoped(open))
      yield* turns(20)
      const interrupting = yield* start(Fiber.interrupt(opening))
      yield* held.release
      yield* Fiber.join(closing)
      yield* Fiber.join(interrupting)
      assert.strictEqual(yield* Effect.flatMap(open, (again) => again.getOrFail("a")), 1)
    }))

  it.effect("an opening that is interrupted at any point leaves the path free", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      for (let steps = 0; steps < 40; steps++) {
        const opening = yield* start(Effect.scoped(Store.make({ path })))
        yield* turns(steps)
        yield* Fiber.interrupt(opening)
      }
      // Other options: no handle may be open any more
      yield* withStore({ path, batchSize: 3 }, (store) => store.put("a", 1))
    }))

  it.effect("after a failed opening the path can be opened", () =>
    Effect.gen(function*() {
      const path = join(yield* temporaryFolder, "store")
      assert.strictEqual(yield* refuses({ path, readOnly: true }), "Missing")
      yield* withStore({ path }, (store) => store.put("a", 1))
      assert.strictEqual(yield* withStore({ path, readOnly: true }, (store) => store.getOrFail("a")), 1)
    }))

  it.effect("a layer closes its store with its scope", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const { close, store } = yield* openScoped({ path })
      yield* close
      assert.propertyVal(yield* Effect.flip(store.get("a")), "_tag", "Closed")
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Store.layer({ path }), scope)
      const layered = Context.get(context, Store)
      yield* layered.put("a", 1)
      yield* Scope.close(scope, Exit.void)
      assert.propertyVal(yield* Effect.flip(layered.get("a")), "_tag", "Closed")
      assert.strictEqual(yield* withStore({ path }, (again) => again.getOrFail("a")), 1)
    }))

  it.effect("layerTemp uses a folder of its own, which is removed afterwards", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const contexts = yield* Effect.all([1, 2].map(() => Layer.buildWithScope(Layer.fresh(Store.layerTemp()), scope)))
      const [first, second] = contexts.map((context) => Context.get(context, Store))
      assert(first !== undefined && second !== undefined)
      yield* first.put("a", 1)
      assert.isFalse(yield* second.has("a"))
      yield* first.close()
      const path = (yield* Effect.flip(first.flush)).message.match(/at (.*) is closed/)?.[1] ?? ""
      assert.isTrue(existsSync(join(path, "data.mdb")))
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(existsSync(path))
      assert.notInclude(readdirSync(dirname(path)), basename(path))
    }))
})
