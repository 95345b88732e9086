/** What only the compaction of an encrypted server in a store does: it is on disk, in one commit, and deletes in parts. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { makeEntryIdUnsafe } from "effect/eventlog/EventJournal"
import { StoreId } from "effect/eventlog/EventLogMessage"
import * as Encrypted from "effect/eventlog/EventLogServerEncrypted"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { spawnSync } from "node:child_process"
import * as process from "node:process"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store, type StoreService } from "../../src/index.ts"
import { structuresDatabase } from "../../src/internal/databases.ts"
import { pageSize } from "../../src/internal/ports/eventlog/compactionInput.ts"
import { deleteLimit } from "../../src/internal/ports/eventlog/compactionStage.ts"
import * as Batches from "../../src/internal/ports/eventlog/encryptedBatches.ts"
import * as Server from "../../src/internal/ports/eventlog/server.ts"
import * as Snapshots from "../../src/internal/ports/eventlog/snapshots.ts"
import { faults, type FaultyEngine } from "../../src/testing/FaultyEngine.ts"
import {
  batchOf,
  compact,
  compactionOptions,
  lastOf,
  methodsOf,
  publicKey,
  stageSnapshot,
  stored,
  storeId,
  writeMany
} from "../support/fixtures/compactions.ts"
import { faultyStore, temporaryFolder, turns, until, withLog } from "../support/harness.ts"
import { withSpans } from "../support/spans.ts"
import { readByHand } from "../support/streaming.ts"

const compactor = new URL("../programs/compactor.ts", import.meta.url).pathname

type Storage = Encrypted.Storage["Service"]

const using = (store: StoreService) => Effect.provideService(Store, store)

const openOn = (store: StoreService, name?: string) =>
  using(store)(LmdbEventLog.makeStorageEncrypted({ compaction: compactionOptions, name }))

/** A storage in a store of its own, and how many records are on its disk. */
const opened = Effect.gen(function*() {
  const store = yield* Store.make({ path: yield* temporaryFolder, durability: "noSync" })
  return { storage: yield* openOn(store), sizes: yield* sizesOf(store) }
})

/** How many originals, batches of snapshots and places of these are stored. */
const sizesOf = (store: StoreService) =>
  Effect.gen(function*() {
    const { batches } = yield* Batches.open(yield* Server.make("encrypted", "default", {}))
    const snapshots = yield* Snapshots.open
    return Effect.all([batches.size, snapshots.batches.size, snapshots.places.size])
  }).pipe(using(store))

/** Lets the sweep run until the sizes are those. */
const untilSizes = <E>(sizes: Effect.Effect<ReadonlyArray<number>, E>, expected: ReadonlyArray<number>) =>
  Effect.andThen(Effect.yieldNow, sizes).pipe(
    Effect.repeat({ until: (found) => found.join() === expected.join() })
  )

/** Everything that a storage says of a list, with the ids. */
const stateOf = Effect.fnUntraced(function*(storage: Storage) {
  const { history, status } = methodsOf(storage)
  return [yield* status(publicKey, storeId), yield* history(publicKey, storeId), yield* stored(storage, 0)]
})

/** The number of commits. The field names of values, which records share, are stored before the first record. */
const commitsOf = ({ batches }: FaultyEngine): number =>
  batches().filter((writes) => writes.some(([database]) => database !== structuresDatabase)).length

/** How many records each commit deletes. */
const deletionsOf = ({ batches }: FaultyEngine): ReadonlyArray<number> =>
  batches().map((writes) => writes.filter(([, , value]) => value === null).length)

const isOdd = (index: number): boolean => index % 2 === 1

const silent = Effect.provide(Logger.layer([]))

describe("compaction of an encrypted server in a store", () => {
  it.effect("makes each call one commit, and changes nothing if that fails", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      const storage = yield* openOn(store)
      const { abort, begin, commit, history, recordNoOp, rollback, stagePart, status } = methodsOf(storage)

      const once = Effect.fnUntraced(function*<A, E>(call: Effect.Effect<A, E>) {
        const before = yield* stateOf(storage)
        yield* faulty.fail("commit", faults.diskFull)
        assert.deepStrictEqual(yield* Effect.exit(call), Exit.die(faults.diskFull))
        assert.deepStrictEqual(yield* stateOf(storage), before)
        const commits = commitsOf(faulty)
        const result = yield* call
        assert.strictEqual(commitsOf(faulty), commits + 1)
        return result
      })
      const beginOnce = Effect.gen(function*() {
        const { lagHead } = yield* status(publicKey, storeId)
        const begun = yield* once(begin(publicKey, storeId, { through: lagHead }))
        return begun._tag === "Started" ? begun.stageId : assert.fail("another stage is open")
      })

      const [first] = yield* writeMany(storage, 6)
      const kept = batchOf("kept", first?.entryIds[0] ?? assert.fail())
      yield* TestClock.adjust("3 hours")
      const stageId = yield* beginOnce
      assert.strictEqual(yield* once(stagePart(publicKey, storeId, stageId, 0, [kept])), "Stored")
      assert.strictEqual(yield* once(commit(publicKey, storeId, stageId, [5])), "Committed")
      assert.deepStrictEqual(yield* stored(storage, 0), ["5-5 kept"])
      const [, active] = yield* history(publicKey, storeId)
      yield* once(rollback(publicKey, storeId, active?.activationId ?? ""))
      assert.deepStrictEqual((yield* stored(storage, 0)).slice(6), [
        "6-6 0",
        "7-7 1",
        "8-8 2",
        "9-9 3",
        "10-10 4",
        "11-11 5"
      ])
      yield* once(recordNoOp(publicKey, storeId, yield* beginOnce))
      yield* once(abort(publicKey, storeId, yield* beginOnce))
    }).pipe(silent))

  it.effect("keeps what a killed process has committed and staged", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      assert.strictEqual(spawnSync(process.execPath, [compactor, path], { stdio: "inherit" }).signal, "SIGKILL")
      yield* TestClock.setTime(7 * 3_600_000)
      const storage = yield* openOn(yield* Store.make({ path }))
      const { begin, history } = methodsOf(storage)
      const snapshot = ["1-1 kept 0", "3-3 kept 1", "5-5 kept 2", "6-6 0", "7-7 1"]
      assert.deepStrictEqual(yield* stored(storage, 0), snapshot)
      // The stage of the process is open until its time has passed.
      const busy = { _tag: "Busy", expiresAt: 9 * 3_600_000 } as const
      assert.deepStrictEqual(yield* begin(publicKey, storeId, { through: 7 }), busy)
      yield* TestClock.adjust("2 hours")
      assert.strictEqual((yield* begin(publicKey, storeId, { through: 7 }))._tag, "Started")
      assert.deepStrictEqual(
        (yield* history(publicKey, storeId)).map(({ base, keptCount }) => [base, keptCount]),
        [[-1, undefined], [5, 3]]
      )
    }))

  it.effect("gives a slow reader the snapshot in place of deleted originals that it has not read", () =>
    Effect.gen(function*() {
      const { sizes, storage } = yield* opened
      const count = 2 * pageSize + 50
      yield* writeMany(storage, count)
      const reader = yield* readByHand(storage.changes(publicKey, storeId, 0))
      const first = yield* reader.next
      assert.strictEqual(first.length, pageSize)

      yield* TestClock.adjust("3 hours")
      const kept = yield* compact(storage, { size: 3, keeps: isOdd })
      yield* TestClock.adjust("6 hours")
      yield* untilSizes(sizes, [0, kept.length, kept.length])
      const [last] = yield* writeMany(storage, 1)

      const second = yield* reader.next
      const third = yield* reader.next
      const read = [...first, ...second, ...third]
      const known = new Set(read.flatMap(({ entryIds }) => entryIds.map((id) => id.join())))
      for (const id of [...kept, last ?? assert.fail()].flatMap(({ entryIds }) => entryIds)) {
        assert.isTrue(known.has(id.join()))
      }
      assert.deepStrictEqual(second.slice(0, 1).map(({ sequence }) => sequence), [99])
      assert.deepStrictEqual(read.map(lastOf), read.map(lastOf).toSorted((a, b) => a - b))
      assert.strictEqual(lastOf(read.at(-1) ?? assert.fail()), count)
    }).pipe(silent))

  it.effect("deletes what was replaced in parts, and goes on when the store is opened again", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const kept = Math.ceil((deleteLimit + 100) / 200)
        const before = yield* Effect.scoped(Effect.gen(function*() {
          const { faulty, store } = yield* faultyStore({ path, durability: "noSync" })
          const storage = yield* openOn(store)
          yield* writeMany(storage, deleteLimit + 100)
          yield* TestClock.adjust("3 hours")
          yield* compact(storage, { size: 100, keeps: isOdd })
          const sizes = yield* sizesOf(store)
          const commits = faulty.calls("commit")
          yield* TestClock.adjust("5 hours")
          assert.deepStrictEqual(yield* sizes, [deleteLimit + 100, kept, kept])
          assert.strictEqual(faulty.calls("commit"), commits)
          // One of the commits that mark what is to be deleted and delete parts of it.
          yield* faulty.fail("commit", faults.diskFull, 3)
          yield* TestClock.adjust("1 hour")
          yield* until(() => log.some(({ level }) => level === "WARN"))
          assert.isAbove((yield* sizes)[0] ?? 0, 0)
          return deletionsOf(faulty)
        }))
        const { faulty, store } = yield* faultyStore({ path })
        const storage = yield* openOn(store)
        yield* untilSizes(yield* sizesOf(store), [0, kept, kept])
        assert.lengthOf(yield* stored(storage, 0), kept)
        assert.strictEqual(Math.max(...before, ...deletionsOf(faulty)), deleteLimit)
      })
    ))

  it.effect("deletes what was staged when the stage ends, and leaves what is much to the sweep", () =>
    Effect.gen(function*() {
      const { sizes, storage } = yield* opened
      const { abort, stagedHeaders } = methodsOf(storage)
      yield* writeMany(storage, deleteLimit + 1)
      yield* TestClock.adjust("3 hours")
      const { stageId } = yield* stageSnapshot(storage)
      const headers = yield* readByHand(stagedHeaders(publicKey, storeId, stageId))
      assert.strictEqual((yield* headers.next).length, pageSize)
      yield* abort(publicKey, storeId, stageId)
      assert.deepStrictEqual(yield* sizes, [deleteLimit + 1, 1, 1])
      assert.deepStrictEqual(yield* Effect.flip(headers.next), new Encrypted.CompactionNotFound({ stageId }))
      yield* TestClock.adjust("10 minutes")
      yield* untilSizes(sizes, [deleteLimit + 1, 0, 0])

      // A stage whose time has passed.
      yield* stageSnapshot(storage, { size: 100 })
      assert.deepStrictEqual((yield* sizes).slice(1), [11, 11])
      yield* TestClock.adjust("190 minutes")
      yield* untilSizes(sizes, [deleteLimit + 1, 0, 0])
    }))

  it.effect("fails a read of input that is deleted meanwhile", () =>
    Effect.gen(function*() {
      const { sizes, storage } = yield* opened
      const { fetch, inputHeaders } = methodsOf(storage)
      yield* writeMany(storage, pageSize + 1)
      yield* TestClock.adjust("3 hours")
      const { stageId } = yield* stageSnapshot(storage)
      const headers = yield* readByHand(inputHeaders(publicKey, storeId, stageId))
      const numbers = Array.from({ length: pageSize + 1 }, (_, number) => number)
      const batches = yield* readByHand(fetch(publicKey, storeId, stageId, numbers))
      assert.strictEqual((yield* headers.next).length, pageSize)
      assert.strictEqual((yield* batches.next).length, pageSize)
      // Another client compacts, after the time of the stage has passed.
      yield* TestClock.adjust("3 hours")
      yield* compact(storage, { size: 100 })
      yield* TestClock.adjust("6 hours")
      yield* untilSizes(sizes, [0, 2, 2])
      for (const { next } of [headers, batches]) {
        assert.deepStrictEqual(
          yield* Effect.flip(Effect.asVoid<unknown, Encrypted.CompactionNotFound, never>(next)),
          new Encrypted.CompactionNotFound({ stageId })
        )
      }
    }).pipe(silent))

  it.effect("ends a stage when its time has passed, also if no sweep has come by", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, durability: "noSync" })
      const options = { compaction: { ...compactionOptions, sweepInterval: "1 day" } } as const
      const storage = yield* using(store)(LmdbEventLog.makeStorageEncrypted(options))
      const { commit, inputHeaders, recordNoOp, stagePart, stagedHeaders } = methodsOf(storage)
      yield* writeMany(storage, 2)
      yield* TestClock.adjust("3 hours")
      const { batches, sequences, stageId } = yield* stageSnapshot(storage)
      yield* TestClock.adjust("2 hours")
      assert.strictEqual(yield* stagePart(publicKey, storeId, stageId, 1, batches), "Stored")
      // A part that was stored begins the time again.
      yield* TestClock.adjust("2 hours")
      assert.lengthOf(yield* Stream.runCollect(stagedHeaders(publicKey, storeId, stageId)), 4)
      yield* TestClock.adjust("1 hour")
      const calls = [
        stagePart(publicKey, storeId, stageId, 2, batches),
        commit(publicKey, storeId, stageId, sequences),
        recordNoOp(publicKey, storeId, stageId),
        Stream.runDrain(inputHeaders(publicKey, storeId, stageId)),
        Stream.runDrain(stagedHeaders(publicKey, storeId, stageId))
      ]
      for (const call of calls) {
        assert.deepStrictEqual(
          yield* Effect.flip(
            Effect.asVoid<unknown, Encrypted.CompactionNotFound | Encrypted.CompactionInvalidRequest, never>(call)
          ),
          new Encrypted.CompactionNotFound({ stageId })
        )
      }
    }))

  it.effect("keeps lists and servers of other names apart", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, durability: "noSync" })
      const storage = yield* openOn(store)
      const other = yield* openOn(store, "other")
      yield* Effect.forEach([storage, other], (each) => writeMany(each, 4))
      yield* storage.write(publicKey, StoreId.make("b"), [])
      yield* TestClock.adjust("3 hours")
      yield* compact(storage, { keeps: isOdd })
      assert.deepStrictEqual(yield* stored(storage, 0), ["1-1 kept 0", "3-3 kept 1"])
      assert.deepStrictEqual(yield* stored(other, 0), ["0-0 0", "1-1 1", "2-2 2", "3-3 3"])
      const apart = [
        methodsOf(other).history(publicKey, storeId),
        methodsOf(storage).history(publicKey, StoreId.make("b"))
      ]
      for (const history of apart) assert.lengthOf(yield* history, 1)
    }).pipe(silent))

  it.effect("refuses calls with which readers would lose entries", () =>
    Effect.gen(function*() {
      const { storage } = yield* opened
      const { begin, commit } = methodsOf(storage)
      yield* writeMany(storage, 3)
      yield* storage.write(publicKey, storeId, [batchOf("two", makeEntryIdUnsafe(), makeEntryIdUnsafe())])
      for (const through of [-1, 3, 5]) {
        assert.isTrue(Exit.hasDies(yield* Effect.exit(begin(publicKey, storeId, { through }))), `${through}`)
      }
      yield* TestClock.adjust("3 hours")
      const { stageId } = yield* stageSnapshot(storage, { keeps: isOdd })
      for (const sequences of [[], [4], [4, 1], [4, 4], [1, 3], [1, 5], [-1, 4]]) {
        const exit = yield* Effect.exit(commit(publicKey, storeId, stageId, sequences))
        assert.isTrue(Exit.hasDies(exit), sequences.join())
      }
      assert.strictEqual(yield* commit(publicKey, storeId, stageId, [1, 4]), "Committed")
      assert.isTrue(Exit.hasDies(yield* Effect.exit(begin(publicKey, storeId, { through: 4 }))))
      const invalid = LmdbEventLog.makeStorageEncrypted({ compaction: { grace: "1 hour" } })
      assert.isTrue(Exit.hasDies(yield* Effect.exit(Effect.provide(invalid, Store.layerTemp()))))
    }).pipe(silent))

  it.effect("logs what became of a compaction, and begins no spans", () =>
    withSpans((spans) =>
      withLog((log) =>
        Effect.gen(function*() {
          const { storage } = yield* opened
          const { history, recordNoOp, rollback } = methodsOf(storage)
          const before = spans.length
          yield* writeMany(storage, 2)
          yield* TestClock.adjust("3 hours")
          yield* recordNoOp(publicKey, storeId, (yield* stageSnapshot(storage)).stageId)
          yield* compact(storage, { keeps: isOdd })
          yield* rollback(publicKey, storeId, (yield* history(publicKey, storeId)).at(-1)?.activationId ?? "")
          assert.deepStrictEqual(log.map(({ text }) => text), [
            "Committed compaction no-op",
            "Committed compaction snapshot",
            "Rolled back compaction snapshot"
          ])
          const names = spans.slice(before).map(({ name }) => name)
          assert.deepStrictEqual(names.filter((name) => name !== "Store.commit"), [])
        })
      )
    ))

  it.effect("is read from a store that is read-only", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* Effect.scoped(Effect.gen(function*() {
          const storage = yield* openOn(yield* Store.make({ path }))
          yield* writeMany(storage, 2)
          yield* TestClock.adjust("3 hours")
          yield* compact(storage, { keeps: isOdd })
        }))
        yield* TestClock.adjust("6 hours")
        const storage = yield* openOn(yield* Store.make({ path, readOnly: true }))
        assert.deepStrictEqual(yield* stored(storage, 0), ["1-1 kept 0"])
        // The sweep finds that it cannot delete the originals whose time has come.
        yield* turns(100)
        assert.deepStrictEqual(log.filter(({ level }) => level !== "INFO"), [])
      })
    ))
})
