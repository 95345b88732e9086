/** What a collection writes for a record, by what it finds. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type { Reader } from "../../src/Backend.ts"
import type { Write } from "../../src/Engine.ts"
import { EngineFailure, Store } from "../../src/index.ts"
import { fromWrites } from "../../src/internal/buffer/writeSet.ts"
import * as CollectionDefinition from "../../src/internal/collection/collectionDefinition.ts"
import * as CollectionRecord from "../../src/internal/collection/collectionRecord.ts"
import * as IndexMaintainer from "../../src/internal/collection/indexMaintainer.ts"
import * as RecordEncoding from "../../src/internal/collection/recordEncoding.ts"
import * as Settled from "../../src/internal/settled.ts"
import * as StoreInternals from "../../src/internal/store/storeInternals.ts"
import { ByteString } from "../../src/Key.ts"
import { valueOf } from "../support/environment.ts"

const Person = Schema.Struct({ name: Schema.String, tags: Schema.Array(Schema.String) })

type Person = typeof Person.Type

const indexes = {
  byName: { key: Schema.String, of: ({ name }: Person) => name, unique: true },
  byTag: { key: Schema.String, each: ({ tags }: Person) => tags }
} as const

const failure = new EngineFailure({ operation: "get", code: 5, detail: "Input/output error", isRetryable: true })

const fails = () => Exit.fail(failure)

/** Reads what some writes leave, but fails for one database. */
const readerOf = (writes: ReadonlyArray<Write>, failing?: string): Reader => {
  const set = fromWrites(writes)
  return {
    get: (database, key, decode) => {
      if (database === failing) return fails()
      const bytes = set.get(database, key) ?? undefined
      return Exit.succeed(bytes === undefined ? undefined : decode(bytes))
    },
    getMany: fails,
    has: fails,
    read: fails,
    count: fails
  }
}

/** The writes as their databases and the letters of their keys; those that delete have a `-` before them. */
const shown = (writes: Effect.Effect<ReadonlyArray<Write>, unknown>): ReadonlyArray<string> =>
  valueOf(Settled.exitOf(writes)).map(([database, key, value]) =>
    `${value === null ? "-" : ""}${database.split("/").at(-1)} ${key.replaceAll(/[^A-Za-z]/g, "")}`
  )

/** What writes people, and one who is there. */
const people = Effect.gen(function*() {
  const store = yield* Store
  const { handle } = StoreInternals.of(store).access
  const definition = yield* CollectionDefinition.make("people", { key: Schema.String, value: Person, indexes }, handle)
  const maintainer = IndexMaintainer.make(definition)
  const encode = (key: string, name: string, ...tags: ReadonlyArray<string>) =>
    Effect.flatMap(
      definition.key.encode(key),
      (bytes) => RecordEncoding.encode(definition, bytes, { name, tags }, () => definition.key.stored(bytes))
    )
  const old = yield* encode("a", "Ada", "x", "y")
  const entries = CollectionRecord.entriesOf(old.bytes)
  const present = yield* IndexMaintainer.toPut(maintainer, IndexMaintainer.holdersIn(readerOf([])), old, undefined)
  return { encode, entries, maintainer, old, present }
})

const inStore = <A, E>(effect: Effect.Effect<A, E, Store>) => Effect.provide(effect, Store.layerTemp())

describe("a record", () => {
  it.effect("that is put has an entry for each of its keys, and the other entries of the old record are deleted", () =>
    inStore(Effect.gen(function*() {
      const { encode, entries, maintainer, old, present } = yield* people
      assert.lengthOf(present, 4)
      const next = yield* encode("a", "Bob", "y", "z")
      assert.deepStrictEqual(
        shown(IndexMaintainer.toPut(maintainer, IndexMaintainer.holdersIn(readerOf(present)), next, entries)),
        [
          "people a",
          "-byName Ada",
          "-byTag xa",
          "byName Bob",
          "byTag ya",
          "byTag za"
        ]
      )
      const deletions = ["-people a", "-byName Ada", "-byTag xa", "-byTag ya"]
      assert.deepStrictEqual(
        shown(IndexMaintainer.toDelete(maintainer, IndexMaintainer.holdersIn(readerOf(present)), old.key, entries)),
        deletions
      )
    })))

  it.effect("that another process has put loses its other entries when it is overwritten", () =>
    inStore(Effect.gen(function*() {
      const { encode, maintainer, old, present } = yield* people
      const next = yield* encode("a", "Ada", "y", "z")
      const deletions = (write: Uint8Array | null) =>
        shown(IndexMaintainer.entryDeletions(maintainer, readerOf(present), old.key, write))
      assert.deepStrictEqual(deletions(null), ["-byName Ada", "-byTag xa", "-byTag ya"])
      assert.deepStrictEqual(deletions(next.bytes), ["-byTag xa"])
      assert.deepStrictEqual(deletions(old.bytes), [])
      assert.deepStrictEqual(shown(IndexMaintainer.entryDeletions(maintainer, readerOf([]), old.key, null)), [])
    })))

  it.effect("that is deleted leaves the entry of another record in a unique index, which a damaged index may have", () =>
    inStore(Effect.gen(function*() {
      const { encode, entries, maintainer, old } = yield* people
      const other = yield* encode("b", "Ada")
      const damaged = yield* IndexMaintainer.toPut(
        maintainer,
        IndexMaintainer.holdersIn(readerOf([])),
        other,
        undefined
      )
      const deletions = shown(
        IndexMaintainer.toDelete(maintainer, IndexMaintainer.holdersIn(readerOf(damaged)), old.key, entries)
      )
      assert.deepStrictEqual(deletions, ["-people a", "-byTag xa", "-byTag ya"])
    })))

  it.effect("with entries in a removed index does not change them", () =>
    inStore(Effect.gen(function*() {
      const { encode, maintainer, old, present } = yield* people
      const bytes = CollectionRecord.join(
        [["gone", ByteString("k")], ...old.entries],
        CollectionRecord.valueOf(old.bytes)
      )
      const entries = CollectionRecord.entriesOf(bytes)
      const next = yield* encode("a", "Ada")
      assert.lengthOf(
        shown(IndexMaintainer.toPut(maintainer, IndexMaintainer.holdersIn(readerOf(present)), next, entries)),
        4
      )
      assert.lengthOf(
        shown(IndexMaintainer.toDelete(maintainer, IndexMaintainer.holdersIn(readerOf(present)), old.key, entries)),
        4
      )
    })))

  it.effect("is not written if the engine fails", () =>
    inStore(Effect.gen(function*() {
      const { encode, entries, maintainer, old, present } = yield* people
      const failing = readerOf(present, "index/people/byName")
      const next = yield* encode("a", "Bob")
      const failed = Exit.fail(failure)
      assert.deepStrictEqual(
        IndexMaintainer.toPut(maintainer, IndexMaintainer.holdersIn(failing), next, entries),
        failed
      )
      assert.deepStrictEqual(
        IndexMaintainer.toPut(maintainer, IndexMaintainer.holdersIn(failing), next, undefined),
        failed
      )
      assert.deepStrictEqual(
        IndexMaintainer.toDelete(maintainer, IndexMaintainer.holdersIn(failing), old.key, entries),
        failed
      )
      assert.deepStrictEqual(IndexMaintainer.entryDeletions(maintainer, failing, old.key, null), failed)
      assert.deepStrictEqual(
        IndexMaintainer.entryDeletions(maintainer, readerOf(present, "collection/people"), old.key, null),
        failed
      )
    })))

  it.effect("of a collection without indexes consists of its value only", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const { handle } = StoreInternals.of(store).access
      const make = CollectionDefinition.make<typeof Schema.String, typeof Person, Record<"", never>, never>
      const definition = yield* make("plain", { key: Schema.String, value: Person }, handle)
      const maintainer = IndexMaintainer.make(definition)
      const key = yield* definition.key.encode("a")
      const record = yield* RecordEncoding.encode(definition, key, { name: "Ada", tags: [] }, () =>
        definition.key.stored(key))
      assert.strictEqual(record.key, key)
      assert.deepStrictEqual(record.entries, [])
      assert.strictEqual(CollectionRecord.valueOf(record.bytes), record.bytes)
      assert.deepStrictEqual(
        IndexMaintainer.toPut(maintainer, IndexMaintainer.holdersIn(readerOf([])), record, undefined),
        Exit.succeed([["collection/plain", key, record.bytes]])
      )
    })))
})
