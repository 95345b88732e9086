/** The identity of an event log in a store: made once, and kept for good. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as EventLog from "effect/eventlog/EventLog"
import * as Redacted from "effect/Redacted"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store, type StoreOptions } from "../../src/index.ts"
import { faults } from "../../src/testing/FaultyEngine.ts"
import { recordsOf, tamper } from "../support/fixtures/collections.ts"
import { faultyStore, temporaryFolder } from "../support/harness.ts"

/** Opens a store, and gives its identity as text. */
const identityIn = (options: StoreOptions, identity?: LmdbEventLog.IdentityOptions) =>
  EventLog.Identity.pipe(
    Effect.map(EventLog.encodeIdentityString),
    Effect.provide(LmdbEventLog.layerIdentity(identity), { local: true }),
    Effect.provide(Store.layer(options), { local: true })
  )

describe("an identity in a store", () => {
  it.effect("is the same each time the store is opened, and another one for each name and store", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const first = yield* identityIn({ path })
      assert.strictEqual(Redacted.value(EventLog.decodeIdentityString(first).privateKey).length, 32)
      assert.strictEqual(yield* identityIn({ path }), first)
      assert.strictEqual(yield* identityIn({ path, readOnly: true }), first)
      const long = "long".repeat(1000)
      const others = [
        yield* identityIn({ path }, { name: "" }),
        yield* identityIn({ path }, { name: long }),
        yield* identityIn({ path: yield* temporaryFolder })
      ]
      assert.strictEqual(new Set([first, ...others]).size, 4)
      assert.strictEqual(yield* identityIn({ path }, { name: long }), others[1])
    }))

  it.effect("is one for all that ask for it at the same time, and made only if there is none", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path })
      let made = 0
      const generate = Effect.suspend(() => {
        made++
        return Effect.delay(LmdbEventLog.makeIdentity({ name: "other" }), 0)
      }).pipe(Effect.provideService(Store, store), Effect.orDie)
      const make = Effect.provideService(LmdbEventLog.makeIdentity({ generate }), Store, store)
      yield* make
      const [first, ...others] = yield* Effect.replicateEffect(make, 5, { concurrency: "unbounded" })
      assert.strictEqual(made, 1)
      for (const other of others) assert.deepStrictEqual(other, first)
    }).pipe(Effect.scoped))

  it.live("is the first that was stored if several are made at the same time", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const make = Effect.provideService(LmdbEventLog.makeIdentity(), Store, store)
      const made = yield* Effect.replicateEffect(make, 5, { concurrency: "unbounded" })
      assert.strictEqual(new Set(made.map(EventLog.encodeIdentityString)).size, 1)
    }).pipe(Effect.scoped))

  it.effect("is not given if it cannot be stored", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      const make = Effect.provideService(LmdbEventLog.makeIdentity(), Store, store)
      yield* Effect.provideService(LmdbEventLog.makeIdentity({ name: "other" }), Store, store)
      yield* faulty.failAlways("commit", faults.diskFull)
      assert.deepInclude(yield* Effect.flip(make), { _tag: "EngineFailure" })
    }).pipe(Effect.scoped))

  it.effect("is not replaced if it is damaged", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* identityIn({ path })
      const database = "collection/effect.EventLog.kept"
      const [[key] = assert.fail()] = yield* recordsOf(path, database)
      yield* tamper(path, [[database, key, Uint8Array.of(1, 2)]])
      const error = yield* Effect.flip(identityIn({ path }))
      assert.strictEqual(error._tag, "ValueDecoding")
    }))
})
