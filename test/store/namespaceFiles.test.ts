/** Namespaces in copies of a store, in its file, and in its errors. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { join } from "node:path"
import { MapFull, Store, type StoreService } from "../../src/index.ts"
import { namespaceDatabase, structuresDatabase } from "../../src/internal/databases.ts"
import { ByteString } from "../../src/Key.ts"
import { swept } from "../support/expiring.ts"
import { recordsOf, tamper } from "../support/fixtures/collections.ts"
import { openFour } from "../support/fixtures/namespaces.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"

const people = Array.from(
  { length: 200 },
  (_, id) => [`person ${id}`, { firstName: `Ada ${id}`, familyName: "Lovelace", born: 1815 }] as const
)

describe("a copy of a store", () => {
  /** A store whose namespace has records that share their field names. */
  const openPeople = Effect.fnUntraced(function*(path: string) {
    const store = yield* Store.make({ path })
    const namespace = yield* store.namespace("people")
    yield* store.put("person 0", "the store's own")
    yield* namespace.putMany(people)
    yield* namespace.put("expires", 1, { ttl: "1 hour" })
    return store
  })

  /** Fails unless a store has what the other had. */
  const assertPeople = Effect.fnUntraced(function*(store: StoreService) {
    const namespace = yield* store.namespace("people")
    const entries = Object.fromEntries(yield* Stream.runCollect(namespace.entries()))
    assert.deepStrictEqual<unknown>(entries, Object.fromEntries<unknown>([...people, ["expires", 1]]))
    assert.strictEqual(yield* store.getOrFail("person 0"), "the store's own")
    yield* TestClock.adjust("1 hour")
    yield* swept(store, 1)
    assert.strictEqual(yield* namespace.size, people.length)
  })

  it.effect("by backup and restore has its namespaces", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const [backup, restored] = [join(folder, "backup"), join(folder, "restored")]
      const store = yield* openPeople(join(folder, "data"))
      yield* store.backup(backup, { compact: true })
      yield* Store.restore({ from: backup, path: restored })
      yield* assertPeople(yield* Store.make({ path: restored, verify: true }))
    }))

  it.effect("by Store.copy has its namespaces", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const from = yield* openPeople(join(folder, "from"))
      const to = yield* Store.make({ path: join(folder, "to"), compression: true })
      yield* Store.copy(from, to)
      yield* from.close()
      yield* assertPeople(to)
    }))

  it.effect("is refused where the other store has records in a namespace", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const from = yield* openPeople(join(folder, "from"))
      const to = yield* Store.make({ path: join(folder, "to") })
      yield* Effect.flatMap(to.namespace("other"), (other) => other.put("a", 1, { durable: true }))
      assert.strictEqual((yield* Effect.flip(Store.copy(from, to)))._tag, "StoreNotEmpty")
    }))

  it.effect("stores field names once for all records of a namespace", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Effect.scoped(openPeople(path))
      assert.isAbove((yield* recordsOf(path, structuresDatabase)).length, 0)
      const values = (yield* recordsOf(path, namespaceDatabase("people"))).map(([, value]) => value.toString("latin1"))
      assert.isBelow(values.filter((value) => value.includes("familyName")).length, people.length / 4)
    }))
})

describe("an error", () => {
  it.effect("about a key names its namespace", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const { sessions } = yield* openFour(store)
          const missing = yield* Effect.flip(sessions.getOrFail("x"))
          assert.include(missing, { key: "x", namespace: "sessions" })
          assert.strictEqual(missing.message, `Key not found in namespace "sessions": "x"`)
          assert.include(yield* Effect.flip(sessions.deleteOrFail("x")), { namespace: "sessions" })
          const refused = yield* Effect.flip(sessions.put("x", () => 1))
          assert.include(refused.message, `The value for key "x" in namespace "sessions" cannot be stored`)
          // Those of the store itself have no such property
          assert.notProperty(yield* Effect.flip(store.getOrFail("x")), "namespace")
        }))
      yield* tamper(path, [[namespaceDatabase("sessions"), ByteString("a"), Uint8Array.of(0xff)]])
      const damaged = yield* withStore({ path }, (store) =>
        Effect.flatMap(store.namespace("sessions"), (sessions) => Effect.flip(sessions.getOrFail("a"))))
      assert.include(damaged, { _tag: "ValueDecoding", namespace: "sessions" })
      assert.include(damaged.message, `The bytes stored under key "a" in namespace "sessions" are not a value`)
    }))

  it.effect("of a store that closes names the lost keys of its namespaces", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const exit = yield* Effect.exit(withStore({ path, maxMapSize: "512 KiB", flushInterval: "Infinity" }, (store) =>
        Effect.gen(function*() {
          const sessions = yield* store.namespace("sessions")
          yield* sessions.put("a", "x".repeat(600_000))
          yield* store.put("b", 1)
        })))
      const lost = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.instanceOf(lost, MapFull)
      assert.deepInclude(lost.lost, { count: 2, keys: [`sessions: "a"`, `"b"`] })
    }))
})
