/** What only the storage of servers in a store does, and the mapping of store ids. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { makeEntryIdUnsafe } from "effect/eventlog/EventJournal"
import { StoreId } from "effect/eventlog/EventLogMessage"
import * as Unencrypted from "effect/eventlog/EventLogServerUnencrypted"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { spawnSync } from "node:child_process"
import * as process from "node:process"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store, type StoreService } from "../../src/index.ts"
import { faults } from "../../src/testing/FaultyEngine.ts"
import { entryAt, numbered, openCounts } from "../support/fixtures/journals.ts"
import { faultyStore, start, temporaryFolder } from "../support/harness.ts"
import { withSpans } from "../support/spans.ts"

const entryWriter = new URL("../programs/entryWriter.ts", import.meta.url).pathname

const [a, b] = [StoreId.make("a"), StoreId.make("b")]

const at = (msecs: number) => entryAt({ msecs, label: `${msecs}` })

const noCompactors: Parameters<Unencrypted.Storage["Service"]["changes"]>[0]["compactors"] = new Map()

const using = (store: StoreService) => Effect.provideService(Store, store)

const openStore = Effect.flatMap(temporaryFolder, (path) => Store.make({ path }))

describe("server storage in a store", () => {
  it.effect("keeps its id, entries and keys, and keeps servers with other names and of the other kind apart", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const visit = Effect.gen(function*() {
        const storages = yield* Effect.forEach(
          ["default", "other", "long".repeat(1000)],
          (name) => LmdbEventLog.makeStorageUnencrypted({ name })
        )
        const encryptedStorage = yield* LmdbEventLog.makeStorageEncrypted()
        const [storage] = storages
        const written = (yield* storage?.entriesAfter(a, at(0)) ?? assert.fail()).length
        yield* storage?.write(a, [at(1000)]) ?? assert.fail()
        const keys = yield* Effect.forEach(
          [...storages, encryptedStorage],
          ({ getOrCreateSessionAuthBinding }, n) =>
            getOrCreateSessionAuthBinding("ada", Uint8Array.of(10 * written + n))
        )
        const ids = yield* Effect.forEach([...storages, encryptedStorage], ({ getId }) => getId)
        return { written, keys: keys.map(([byte]) => byte), ids: ids.map((id) => Buffer.from(id).toString("hex")) }
      }).pipe(Effect.provide(Store.layer({ path }), { local: true }), Effect.scoped)
      const first = yield* visit
      assert.deepStrictEqual([first.written, first.keys, new Set(first.ids).size], [0, [0, 1, 2, 3], 4])
      assert.deepStrictEqual(yield* visit, { ...first, written: 1 })
    }))

  it.effect("commits entries with what handlers store, and streams them after the commit only", () =>
    Effect.gen(function*() {
      const store = yield* openStore
      const storage = yield* LmdbEventLog.makeStorageUnencrypted().pipe(using(store))
      const counts = yield* openCounts.pipe(using(store))
      const changes = storage.changes({ storeId: a, startSequence: 0, compactors: noCompactors })
      const queue = yield* Stream.toQueue(changes, { capacity: "unbounded" })
      const handle = (n: number) => Effect.andThen(storage.write(a, [at(n)]), Effect.orDie(counts.put("a", n)))
      const failed = storage.withTransaction(Effect.andThen(handle(1000), Effect.fail("refused")))
      assert.strictEqual(yield* Effect.flip(failed), "refused")
      assert.deepStrictEqual([yield* storage.entriesAfter(a, at(0)), yield* counts.has("a")], [[], false])
      // Of a transaction inside another, which in Effect's memory storage would wait for ever.
      yield* storage.withTransaction(storage.withTransaction(handle(2000)))
      assert.deepStrictEqual(numbered([yield* Queue.take(queue)]), ["1 2000"])
      assert.strictEqual(yield* counts.getOrFail("a"), 2000)
    }))

  it.live("streams what other processes write, and numbers on", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const storage = yield* using(yield* Store.make({ path, shared: true }))(LmdbEventLog.makeStorageUnencrypted())
      const changes = storage.changes({ storeId: a, startSequence: 0, compactors: noCompactors })
      const queue = yield* Stream.toQueue(changes, { capacity: "unbounded" })
      for (const label of ["1", "2"]) {
        assert.strictEqual(spawnSync(process.execPath, [entryWriter, path, label], { stdio: "inherit" }).status, 0)
      }
      yield* storage.write(a, [at(3)])
      const taken = yield* Effect.replicateEffect(Queue.take(queue), 3)
      assert.deepStrictEqual(numbered(taken), ["1 1", "2 2", "3 3"])
    }))

  it.effect("dies with the error of the store, and ends its streams when the store closes", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      const storage = yield* LmdbEventLog.makeStorageUnencrypted().pipe(using(store))
      const secret = yield* LmdbEventLog.makeStorageEncrypted().pipe(using(store))
      const streams = yield* start(Effect.all([
        Stream.runCollect(storage.changes({ storeId: a, startSequence: 0, compactors: noCompactors })),
        Stream.runCollect(secret.changes("ada", a, 0))
      ], { concurrency: "unbounded" }))
      yield* faulty.fail("commit", faults.diskFull)
      assert.deepStrictEqual(yield* Effect.exit(storage.write(a, [at(1000)])), Exit.die(faults.diskFull))
      yield* faulty.fail("commit", faults.diskFull)
      const inTransaction = storage.withTransaction(storage.write(a, [at(1000)]))
      assert.deepStrictEqual(yield* Effect.exit(inTransaction), Exit.die(faults.diskFull))
      yield* faulty.fail("commit", faults.diskFull)
      const write = secret.write("ada", a, [{
        entryIds: [makeEntryIdUnsafe()],
        iv: new Uint8Array(),
        encryptedBatch: new Uint8Array()
      }])
      assert.deepStrictEqual(yield* Effect.exit(write), Exit.die(faults.diskFull))
      yield* store.close()
      assert.deepStrictEqual(yield* Fiber.join(streams), [[], []])
      assert.isTrue(Exit.hasDies(yield* Effect.exit(storage.write(a, [at(1000)]))))
    }))

  it.effect("begins no spans of its own, and leaves those of handlers", () =>
    withSpans((spans) =>
      Effect.gen(function*() {
        const storage = yield* Effect.flatMap(openStore, (store) => using(store)(LmdbEventLog.makeStorageUnencrypted()))
        const before = spans.length
        yield* storage.withTransaction(Effect.andThen(
          Effect.withSpan(storage.write(a, [at(1000)]), "handler"),
          storage.entriesAfter(a, at(0))
        ))
        const names = spans.slice(before).map(({ name }) => name)
        assert.deepStrictEqual(names.filter((name) => name !== "Store.commit"), ["handler"])
      })
    ))
})

describe("a mapping of store ids in a store", () => {
  it.effect("resolves what was assigned to an identity, and nothing else, also in the next process", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const visit = <A, E>(
        effect: Effect.Effect<A, E, Unencrypted.StoreMapping | LmdbEventLog.StoreMappings>,
        name?: string
      ) =>
        effect.pipe(
          Effect.provide(LmdbEventLog.layerStoreMapping({ name }), { local: true }),
          Effect.provide(Store.layer({ path }), { local: true })
        )
      const long = "key".repeat(1000)
      yield* visit(Effect.gen(function*() {
        const { assign, list, unassign } = yield* LmdbEventLog.StoreMappings
        for (const publicKey of ["ada", long]) {
          yield* assign({ publicKey, storeId: a, to: StoreId.make(`${publicKey} 1`) })
        }
        yield* assign({ publicKey: "ada", storeId: b, to: StoreId.make("old") })
        yield* assign({ publicKey: "ada", storeId: b, to: StoreId.make("shared") })
        yield* assign({ publicKey: "eve", storeId: b, to: StoreId.make("shared") })
        yield* unassign({ publicKey: "eve", storeId: b })
        yield* unassign({ publicKey: "eve", storeId: a })
        assert.deepStrictEqual(yield* list("ada"), [
          { storeId: a, to: StoreId.make("ada 1") },
          { storeId: b, to: StoreId.make("shared") }
        ])
        assert.deepStrictEqual(yield* list("eve"), [])
      }))
      yield* visit(Effect.gen(function*() {
        const { hasStore, resolve } = yield* Unencrypted.StoreMapping
        assert.strictEqual(yield* resolve({ publicKey: "ada", storeId: b }), "shared")
        assert.strictEqual(yield* resolve({ publicKey: long, storeId: a }), `${long} 1`)
        assert.isTrue(yield* hasStore({ publicKey: "ada", storeId: a }))
        for (const selection of [{ publicKey: "eve", storeId: b }, { publicKey: "ada", storeId: StoreId.make("c") }]) {
          assert.isFalse(yield* hasStore(selection))
          assert.deepInclude(yield* Effect.flip(resolve(selection)), { reason: "NotFound", ...selection })
        }
      }))
      assert.deepStrictEqual(
        yield* visit(Effect.flatMap(LmdbEventLog.StoreMappings, ({ list }) => list("ada")), "x"),
        []
      )
    }))

  it.effect("fails with an error of its own if the store does", () =>
    Effect.gen(function*() {
      const store = yield* openStore
      const context = yield* Layer.build(LmdbEventLog.layerStoreMapping()).pipe(using(store))
      yield* store.close()
      yield* Effect.gen(function*() {
        const { assign, list, unassign } = yield* LmdbEventLog.StoreMappings
        const { hasStore, resolve } = yield* Unencrypted.StoreMapping
        const selection = { publicKey: "ada", storeId: a }
        const calls = [
          assign({ ...selection, to: b }),
          unassign(selection),
          list("ada"),
          hasStore(selection),
          resolve(selection)
        ]
        for (const call of calls) {
          const error = yield* Effect.flip(Effect.asVoid<unknown, Unencrypted.EventLogServerStoreError, never>(call))
          assert.deepInclude(error, {
            _tag: "EventLogServerStoreError",
            reason: "PersistenceFailure",
            publicKey: "ada"
          })
        }
      }).pipe(Effect.provideContext(context))
    }))
})
