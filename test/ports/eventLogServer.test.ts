/**
 * The storage of Effect's event log servers in a store, and the mapping of store ids.
 *
 * The first parts have the cases of Effect's own suites (of 4.0.0-rc.111: `SqlEventLogServerUnencryptedStorageTest.ts` and
 * those of `sqlite-node/test/SqlEventLogServerEncrypted.test.ts` that concern the storage) in other words, and run them on
 * Effect's memory storage too. Left out are the names of tables, and what the server does on any storage: authentication
 * and permissions. Compaction has tests of its own: `encryptedCompactionModel.test.ts` and `encryptedCompaction.test.ts`.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as EventJournal from "effect/eventlog/EventJournal"
import { makeEntryIdUnsafe } from "effect/eventlog/EventJournal"
import type { EncryptedBatch } from "effect/eventlog/EventLogEncryption"
import { StoreId } from "effect/eventlog/EventLogMessage"
import * as Encrypted from "effect/eventlog/EventLogServerEncrypted"
import * as Unencrypted from "effect/eventlog/EventLogServerUnencrypted"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store } from "../../src/index.ts"
import * as DelayedBackend from "../../src/testing/DelayedBackend.ts"
import * as LocalBackend from "../../src/testing/LocalBackend.ts"
import { entryAt, numbered } from "../support/fixtures/journals.ts"
import { start } from "../support/harness.ts"

const delayed = Store.layerWithBackend(
  Effect.flatMap(LocalBackend.makeTemp(), (local) => DelayedBackend.make(local, { seed: 1 })),
  { name: "delayed" }
)

const stores = {
  "a store": Store.layerTemp(),
  "a shared store": Store.layerTemp({ shared: true }),
  "a store whose reads wait": delayed
}

const [a, b] = [StoreId.make("a"), StoreId.make("b")]

const at = (msecs: number, options: { readonly event?: string; readonly primaryKey?: string } = {}) =>
  entryAt({ msecs, label: `${msecs}`, ...options })

/** Runs tests on a layer that each builds for itself. */
const testing =
  <R0, E>(layer: Layer.Layer<R0, E>) => (title: string, effect: Effect.Effect<void, unknown, R0 | Scope.Scope>) =>
    it.effect(title, () => Effect.provide(effect, layer))

type Compactors = Parameters<Unencrypted.Storage["Service"]["changes"]>[0]["compactors"]

const noCompactors: Compactors = new Map()

/** Follows the changes of a store id. */
const followed = Effect.fnUntraced(function*(
  storeId: StoreId,
  startSequence: number,
  compactors: Compactors = noCompactors
) {
  const storage = yield* Unencrypted.Storage
  const queue = yield* Stream.toQueue(storage.changes({ storeId, startSequence, compactors }), {
    capacity: "unbounded"
  })
  return (count: number) => Effect.map(Effect.replicateEffect(Queue.take(queue), count), numbered)
})

const unencrypted = {
  "Effect's memory storage": Unencrypted.layerStorageMemory,
  ...Object.fromEntries(
    Object.entries(stores).map(([name, store]) => [name, Layer.provide(LmdbEventLog.layerStorageUnencrypted(), store)])
  )
}

for (const [name, layer] of Object.entries(unencrypted)) {
  describe(`unencrypted storage in ${name}`, () => {
    const test = testing(layer)

    test(
      "numbers the entries of each store id from 1 on",
      Effect.gen(function*() {
        const storage = yield* Unencrypted.Storage
        assert.strictEqual(storage.firstSequence, 1)
        assert.deepStrictEqual(numbered(yield* storage.write(a, [at(2000), at(1000)])), ["1 2000", "2 1000"])
        assert.deepStrictEqual(yield* storage.write(a, []), [])
        assert.deepStrictEqual(numbered(yield* storage.write(b, [at(3000)])), ["1 3000"])
        assert.deepStrictEqual(numbered(yield* storage.write(a, [at(500)])), ["3 500"])
      })
    )

    test(
      "refuses an entry that it has, and stores nothing of the write",
      Effect.gen(function*() {
        const storage = yield* Unencrypted.Storage
        const entry = at(1000)
        yield* storage.write(a, [entry])
        assert.isTrue(Exit.hasDies(yield* Effect.exit(storage.write(a, [at(2000), entry]))))
        assert.deepStrictEqual(numbered(yield* storage.entriesAfter(a, at(0))), ["1 1000"])
        assert.deepStrictEqual(numbered(yield* storage.write(b, [entry])), ["1 1000"])
      })
    )

    test(
      "finds the entries that were not created before an entry, in the order of their numbers",
      Effect.gen(function*() {
        const storage = yield* Unencrypted.Storage
        const entry = at(2000)
        yield* storage.write(a, [at(3000), at(1000), entry, at(4000)])
        assert.deepStrictEqual(numbered(yield* storage.entriesAfter(a, entry)), ["1 3000", "3 2000", "4 4000"])
        assert.deepStrictEqual(yield* storage.entriesAfter(b, entry), [])
      })
    )

    test(
      "finds the entries that have the id, or the event and primary key, of an entry of a batch",
      Effect.gen(function*() {
        const storage = yield* Unencrypted.Storage
        const known = at(1500, { primaryKey: "3" })
        yield* storage.write(a, [
          at(3000),
          at(1000),
          at(3500, { event: "Removed" }),
          known,
          at(4000, { primaryKey: "2" }),
          at(5000)
        ])
        const batch = Arr.make(at(2000), at(2500), at(2600, { primaryKey: "2" }))
        const related = (entries: Arr.NonEmptyReadonlyArray<EventJournal.Entry>) =>
          Effect.map(storage.entriesAfter(a, entries[0], entries), numbered)
        assert.deepStrictEqual(yield* related(batch), ["1 3000", "5 4000", "6 5000"])
        assert.deepStrictEqual(yield* related([known]), ["4 1500"])
      })
    )

    test(
      "streams what is stored from a number on, and then what is written, of one store id",
      Effect.gen(function*() {
        const storage = yield* Unencrypted.Storage
        yield* storage.write(a, [at(1000), at(2000)])
        yield* storage.write(b, [at(9000)])
        const [all, later] = [yield* followed(a, 0), yield* followed(a, 2)]
        assert.deepStrictEqual(yield* all(2), ["1 1000", "2 2000"])
        yield* storage.write(b, [at(9500)])
        yield* storage.write(a, [at(500), at(600)])
        yield* storage.write(a, [at(700)])
        assert.deepStrictEqual(yield* all(3), ["3 500", "4 600", "5 700"])
        assert.deepStrictEqual(yield* later(4), ["2 2000", "3 500", "4 600", "5 700"])
      })
    )

    test(
      "loses and repeats nothing that is written while a stream starts",
      Effect.gen(function*() {
        const storage = yield* Unencrypted.Storage
        for (let round = 0; round < 5; round++) {
          const storeId = StoreId.make(`${round}`)
          yield* storage.write(storeId, [at(1)])
          const take = yield* Effect.forkChild(followed(storeId, 0))
          yield* storage.write(storeId, [at(2)])
          yield* storage.write(storeId, [at(3)])
          assert.deepStrictEqual(yield* (yield* Fiber.join(take))(3), ["1 1", "2 2", "3 3"])
        }
      })
    )

    test(
      "compacts what is stored, and nothing that is written later",
      Effect.gen(function*() {
        const storage = yield* Unencrypted.Storage
        const first = at(1000)
        yield* storage.write(a, [first, at(2000), at(3000)])
        const keepFirst = {
          events: new Set(["Added"]),
          effect: ({ entries, write }: {
            readonly entries: ReadonlyArray<EventJournal.Entry>
            readonly write: (entry: EventJournal.Entry) => Effect.Effect<void>
          }) => Effect.forEach(entries.slice(0, 1), (entry) => write(entry), { discard: true })
        }
        const take = yield* followed(a, 0, new Map([["Added", keepFirst]]))
        const [compacted] = yield* take(1)
        assert.isTrue(compacted?.endsWith(" 1000"))
        yield* storage.write(a, [at(4000), at(5000)])
        assert.deepStrictEqual(yield* take(2), ["4 4000", "5 5000"])
      })
    )

    test(
      "keeps the first key with which a client signs",
      Effect.gen(function*() {
        const storage = yield* Unencrypted.Storage
        const bind = (publicKey: string, byte: number) =>
          Effect.map(storage.getOrCreateSessionAuthBinding(publicKey, Uint8Array.of(byte)), ([first]) => first)
        assert.deepStrictEqual([yield* bind("ada", 1), yield* bind("ada", 2), yield* bind("eve", 3)], [1, 1, 3])
      })
    )

    test(
      "runs transactions one at a time, and passes errors as they are",
      Effect.gen(function*() {
        const storage = yield* Unencrypted.Storage
        let running = 0
        const transaction = storage.withTransaction(Effect.gen(function*() {
          assert.strictEqual(++running, 1)
          yield* Effect.yieldNow
          running--
        }))
        yield* Effect.replicateEffect(transaction, 5, { concurrency: "unbounded" })
        assert.strictEqual(yield* Effect.flip(storage.withTransaction(Effect.fail("refused"))), "refused")
      })
    )
  })
}

const batch = (entryIds: EncryptedBatch["entryIds"], text: string): EncryptedBatch => ({
  entryIds,
  iv: Uint8Array.of(entryIds.length),
  encryptedBatch: Uint8Array.from(Buffer.from(text))
})

const textOf = (
  { encryptedBatch, entryIds, iv, sequence }: Stream.Success<ReturnType<Encrypted.Storage["Service"]["changes"]>>
) => `${sequence} ${Buffer.from(encryptedBatch).toString()} ${iv[0] === entryIds.length}`

const encrypted = {
  "Effect's memory storage": Encrypted.layerStorageMemory,
  ...Object.fromEntries(
    Object.entries(stores).map(([name, store]) => [name, Layer.provide(LmdbEventLog.layerStorageEncrypted(), store)])
  )
}

for (const [name, layer] of Object.entries(encrypted)) {
  describe(`encrypted storage in ${name}`, () => {
    const test = testing(layer)
    const [id1, id2, id3, id4] = [makeEntryIdUnsafe(), makeEntryIdUnsafe(), makeEntryIdUnsafe(), makeEntryIdUnsafe()]

    test(
      "gives a batch a number for each entry, and passes over batches that it has",
      Effect.gen(function*() {
        const storage = yield* Encrypted.Storage
        const write = (publicKey: string, storeId: StoreId, ...batches: ReadonlyArray<EncryptedBatch>) =>
          Effect.map(storage.write(publicKey, storeId, batches), (stored) => stored.map(textOf))
        const [x, y] = [batch([id1, id2], "x"), batch([id3], "y")]
        assert.deepStrictEqual(yield* write("ada", a, x, y), ["0 x true", "2 y true"])
        assert.deepStrictEqual(yield* write("ada", a, y, batch([id2, id1], "again"), batch([id4], "z")), ["3 z true"])
        assert.deepStrictEqual(yield* write("ada", a), [])
        const partly = batch([id2, makeEntryIdUnsafe()], "partly")
        assert.deepStrictEqual(yield* write("ada", a, partly, partly), ["4 partly true"])
        assert.deepStrictEqual(yield* write("ada", b, x), ["0 x true"])
        assert.deepStrictEqual(yield* write("eve", a, x), ["0 x true"])
      })
    )

    test(
      "tells where each entry was first stored",
      Effect.gen(function*() {
        const storage = yield* Encrypted.Storage
        yield* storage.write("ada", a, [batch([id1, id2], "x"), batch([id2, id3, id3], "y")])
        const sequences = yield* storage.entrySequences("ada", a, [id3, id4, id2, id1, id2])
        assert.deepStrictEqual(sequences, [
          { entryId: id3, sequence: 3 },
          { entryId: id2, sequence: 1 },
          { entryId: id1, sequence: 0 },
          { entryId: id2, sequence: 1 }
        ])
        assert.deepStrictEqual(yield* storage.entrySequences("eve", a, [id1]), [])
      })
    )

    test(
      "streams from the batch that has a number on, and then what is written",
      Effect.gen(function*() {
        const storage = yield* Encrypted.Storage
        for (const [from, stored] of [[0, 2], [1, 2], [2, 1], [3, 0]] as const) {
          const publicKey = `from ${from}`
          yield* storage.write(publicKey, a, [batch([id1, id2], "x"), batch([id3], "y")])
          const changes = Stream.map(storage.changes(publicKey, a, from), textOf)
          const queue = yield* Stream.toQueue(changes, { capacity: "unbounded" })
          const taken = yield* Effect.replicateEffect(Queue.take(queue), stored)
          assert.deepStrictEqual(taken, ["0 x true", "2 y true"].slice(2 - stored))
          yield* storage.write("eve", a, [batch([id4], "other")])
          const next = yield* start(Queue.take(queue))
          yield* storage.write(publicKey, a, [batch([makeEntryIdUnsafe()], "live")])
          assert.strictEqual(yield* Fiber.join(next), "3 live true")
        }
      })
    )

    test(
      "keeps the first key with which a client signs",
      Effect.gen(function*() {
        const storage = yield* Encrypted.Storage
        const bind = (publicKey: string, byte: number) =>
          Effect.map(storage.getOrCreateSessionAuthBinding(publicKey, Uint8Array.of(byte)), ([first]) => first)
        assert.deepStrictEqual([yield* bind("ada", 1), yield* bind("ada", 2), yield* bind("eve", 3)], [1, 1, 3])
      })
    )
  })
}
