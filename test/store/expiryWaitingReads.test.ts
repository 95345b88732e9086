/**
 * Records that expire on a backend whose reads wait: other fibers write, and the sweeper deletes, while a read waits.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { expiryDatabase, recordsDatabase } from "../../src/internal/databases.ts"
import * as Expiry from "../../src/internal/store/expiry.ts"
import * as LocalBackend from "../../src/testing/LocalBackend.ts"
import { presentReader, storedIn, swept } from "../support/expiring.ts"
import { open as openSessions, session } from "../support/fixtures/sessions.ts"
import { start, temporaryFolder, turns } from "../support/harness.ts"
import * as HeldBackend from "../support/heldBackend.ts"

const minute = TestClock.adjust("1 minute")

const open = Effect.flatMap(temporaryFolder, HeldBackend.open)

/** Whether an operation reads when the next record expires. */
const isNextTime = (operation: HeldBackend.Operation): boolean =>
  operation._tag === "Read" && operation.database === expiryDatabase && operation.request.maxRecords === 1

/** Whether an operation reads which records have expired. */
const isCandidates = (operation: HeldBackend.Operation): boolean =>
  operation._tag === "Read" && operation.database === expiryDatabase && operation.request.maxRecords !== 1

const isCount = (operation: HeldBackend.Operation): boolean =>
  operation._tag === "Count" && operation.database === recordsDatabase

describe("a record that expires", () => {
  it.effect("and is written while the sweeper reads when the next record expires, is hidden and deleted", () =>
    Effect.gen(function*() {
      const { hold, store } = yield* open
      yield* store.put("a", 1, { ttl: "1 minute" })
      const reading = yield* hold(isNextTime)
      yield* minute
      yield* reading.begun
      yield* store.put("b", 2, { ttl: "1 minute" })
      yield* reading.release
      yield* swept(store, 1)
      assert.isTrue(yield* store.has("b"))
      yield* minute
      assert.isFalse(yield* store.has("b"))
      yield* swept(store, 2)
      assert.strictEqual(yield* storedIn(store, recordsDatabase), 0)
    }))

  it.effect("and whose write waits while the sweeper reads when the next record expires, is hidden and deleted", () =>
    Effect.gen(function*() {
      const { hold, store } = yield* open
      yield* store.put("a", 1, { ttl: "1 minute" })
      yield* TestClock.adjust("59 seconds")
      const committing = yield* hold(({ _tag }) => _tag === "Commit")
      const writing = yield* start(store.put("b", 2, { ttl: "1 minute" }))
      yield* committing.begun
      yield* TestClock.adjust("1 second")
      yield* swept(store, 1)
      yield* committing.release
      yield* Fiber.join(writing)
      assert.isTrue(yield* store.has("b"))
      yield* TestClock.adjust("59 seconds")
      assert.isFalse(yield* store.has("b"))
      yield* swept(store, 2)
      assert.strictEqual(yield* storedIn(store, recordsDatabase), 0)
    }))

  it.effect("and is written while a read looks for expired records, is not counted by the next one when it has expired", () =>
    Effect.gen(function*() {
      const { hold, store } = yield* open
      yield* store.put("a", 1, { ttl: "1 minute" })
      const sweeping = yield* hold(isNextTime)
      yield* minute
      yield* sweeping.begun
      const reading = yield* hold(isNextTime)
      const { count } = presentReader(store)
      const first = yield* start(count(recordsDatabase))
      yield* reading.begun
      yield* store.put("b", 2, { ttl: "1 minute" })
      yield* reading.release
      yield* Fiber.join(first)
      yield* TestClock.adjust("59999 millis")
      assert.strictEqual(yield* count(recordsDatabase), 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* count(recordsDatabase), 0)
      yield* sweeping.release
      yield* swept(store, 2)
    }))

  it.effect("and becomes visible while a read looks for expired records, is not counted by the next one", () =>
    Effect.gen(function*() {
      const { hold, store } = yield* open
      yield* store.put("a", 1, { ttl: "1 minute" })
      yield* minute
      yield* swept(store, 1)
      const committing = yield* hold(({ _tag }) => _tag === "Commit")
      const writing = yield* start(store.put("b", 2, { ttl: "1 minute" }))
      yield* committing.begun
      yield* minute
      const reading = yield* hold(isCandidates)
      const { count } = presentReader(store)
      const first = yield* start(count(recordsDatabase))
      yield* reading.begun
      yield* committing.release
      yield* Fiber.join(writing)
      yield* reading.release
      yield* Fiber.join(first)
      assert.strictEqual(yield* count(recordsDatabase), 0)
    }))
})

describe("a range of keys", () => {
  it.effect("has no expired record that the sweeper deletes after the keys were read", () =>
    Effect.gen(function*() {
      const { hold, store } = yield* open
      yield* store.put("a", 1)
      yield* store.put("b", 2, { ttl: "1 minute" })
      const sweeping = yield* hold(({ _tag }) => _tag === "Commit")
      yield* minute
      yield* sweeping.begun
      const held = yield* hold((operation) => operation._tag === "Read" && operation.database === recordsDatabase)
      const all = { from: undefined, to: undefined, reverse: false, values: false, maxRecords: 10, maxBytes: 1000 }
      const reading = yield* start(presentReader(store).read(recordsDatabase, all))
      yield* held.begun
      yield* sweeping.release
      yield* swept(store, 1)
      yield* held.release
      assert.strictEqual((yield* Fiber.join(reading)).records.length, 1)
    }))
})

describe("the database of expiry times", () => {
  it.effect("that this process creates while it looks for the one of another process, is used", () =>
    Effect.gen(function*() {
      const local = yield* LocalBackend.make({ path: yield* temporaryFolder })
      const { backend, hold } = yield* HeldBackend.make(local)
      const expiry = yield* Expiry.make(backend, { now: () => 0, isShared: true })
      const held = yield* hold(({ _tag }) => _tag === "Databases")
      const looking = yield* start(Expiry.openDatabase(expiry, 1000))
      yield* held.begun
      yield* Expiry.ensureDatabase(expiry)
      yield* held.release
      yield* Fiber.join(looking)
      assert.isTrue(expiry.hasDatabase)
    }))
})

describe("`size`", () => {
  it.effect("does not count expired records that the sweeper deletes while it reads", () =>
    Effect.gen(function*() {
      const { hold, store } = yield* open
      yield* store.put("a", 1)
      yield* store.put("b", 2, { ttl: "1 minute" })
      const sweeping = yield* hold(({ _tag }) => _tag === "Commit")
      yield* minute
      yield* sweeping.begun
      const counting = yield* hold(isCount)
      const size = yield* start(store.size)
      const stats = yield* start(store.stats)
      yield* turns(20)
      yield* sweeping.release
      yield* swept(store, 1)
      yield* counting.release
      assert.strictEqual(yield* Fiber.join(size), 1)
      assert.strictEqual((yield* Fiber.join(stats)).entries, 1)
    }))

  it.effect("of a collection does not count them either", () =>
    Effect.gen(function*() {
      const { hold, store } = yield* open
      const sessions = yield* openSessions(store)
      yield* sessions.put(1, session("ada", "t1", null))
      yield* sessions.put(2, session("ada", "t2", 1))
      const sweeping = yield* hold(({ _tag }) => _tag === "Commit")
      yield* minute
      yield* sweeping.begun
      const counting = yield* hold(({ _tag }) => _tag === "Count")
      const size = yield* start(sessions.size)
      yield* turns(20)
      yield* sweeping.release
      yield* swept(store, 1)
      yield* counting.release
      assert.strictEqual(yield* Fiber.join(size), 1)
    }))
})
