/** What verify finds wrong with the records and the indexes of a collection. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { Buffer } from "node:buffer"
import { Collection, type Engine, Store } from "../../src/index.ts"
import * as CollectionRecord from "../../src/internal/collection/collectionRecord.ts"
import { ByteString } from "../../src/Key.ts"
import { all, at, damage, flush, inStore, openUsers, recordsOf, userOf } from "../support/fixtures/collections.ts"
import { start, temporaryFolder, withLog } from "../support/harness.ts"

describe("damage", () => {
  const someUsers = Effect.fnUntraced(function*() {
    const path = yield* temporaryFolder
    yield* at(
      path,
      Effect.flatMap(openUsers, ({ putMany }) => putMany([[1, userOf("Ada", 36)], [2, userOf("Bob", 7)]]))
    )
    return path
  })

  const databases = ["byEmail", "byAge"].map((name) => [name, `index/users/${name}`] as const)

  /** Writes to the databases; verify must find it, and a rebuild must mend it. */
  const isFoundAndMended = Effect.fnUntraced(function*(
    path: string,
    writes: ReadonlyArray<Engine.Write>,
    expected: ReadonlyArray<Collection.Problem>
  ) {
    yield* at(
      path,
      Effect.gen(function*() {
        const collection = yield* openUsers
        yield* damage(writes)
        assert.deepStrictEqual(yield* collection.verify, expected)
        yield* collection.rebuildIndexes
        assert.deepStrictEqual(yield* collection.verify, [])
        assert.deepStrictEqual(yield* all(collection.indexes.byAge.keys()), [2, 1])
        assert.deepStrictEqual(yield* all(collection.indexes.byEmail.keys()), [1, 2])
      })
    )
  })

  it.effect("of a missing entry is found and repaired", () =>
    Effect.gen(function*() {
      const path = yield* someUsers()
      const indexKeys = { byEmail: "\"ada@example.com\"", byAge: "7" }
      for (const [index, database] of databases) {
        const [[entry] = yield* Effect.die("there is one")] = yield* recordsOf(path, database)
        const key = index === "byEmail" ? "1" : "2"
        const indexKey = index === "byEmail" ? indexKeys.byEmail : indexKeys.byAge
        yield* isFoundAndMended(path, [[database, entry, null]], [{ _tag: "MissingEntry", key, index, indexKey }])
      }
    }))

  it.effect("of an entry with the wrong record or without a record is found and repaired", () =>
    Effect.gen(function*() {
      const path = yield* someUsers()
      const [[ada] = yield* Effect.die("there is one"), [bob] = yield* Effect.die("there are two")] = yield* recordsOf(
        path,
        "collection/users"
      )
      const [[email] = yield* Effect.die("there is one")] = yield* recordsOf(path, "index/users/byEmail")
      yield* isFoundAndMended(path, [["index/users/byEmail", email, Buffer.from(bob, "latin1")]], [
        { _tag: "MissingEntry", key: "1", index: "byEmail", indexKey: "\"ada@example.com\"" },
        { _tag: "StrayEntry", key: "2", index: "byEmail", indexKey: "\"ada@example.com\"" }
      ])
      const [[age] = yield* Effect.die("there is one")] = yield* recordsOf(path, "index/users/byAge")
      const other = ByteString(age.slice(0, age.length - bob.length) + ada)
      yield* isFoundAndMended(path, [["index/users/byAge", other, Buffer.alloc(0)]], [
        { _tag: "StrayEntry", key: "1", index: "byAge", indexKey: "7" }
      ])
      // The record itself is gone
      yield* at(
        path,
        Effect.gen(function*() {
          const { indexes, rebuildIndexes, verify } = yield* openUsers
          yield* damage([["collection/users", bob, null]])
          assert.deepStrictEqual((yield* verify).map(({ _tag, key }) => [_tag, key]), [
            ["StrayEntry", "2"],
            ["StrayEntry", "2"]
          ])
          // What leads nowhere is not given
          assert.deepStrictEqual(yield* all(indexes.byAge.values()), [userOf("Ada", 36)])
          assert.deepStrictEqual(yield* indexes.byAge.get(7), Option.none())
          yield* rebuildIndexes
          assert.deepStrictEqual(yield* verify, [])
          assert.strictEqual(yield* indexes.byAge.count(), 1)
        })
      )
    }))

  it.effect("of bytes that are not an entry is found and repaired", () =>
    Effect.gen(function*() {
      const path = yield* someUsers()
      yield* at(
        path,
        Effect.gen(function*() {
          const { indexes, rebuildIndexes, verify } = yield* openUsers
          yield* damage([
            ["index/users/byAge", ByteString("\xff\xfe"), Buffer.alloc(0)],
            ["index/users/byEmail", ByteString("\x01"), Buffer.from("nobody")]
          ])
          assert.deepStrictEqual((yield* verify).map(({ _tag, key }) => [_tag, key]), [
            // The bytes of a key that no record has
            ["StrayEntry", "6 bytes"],
            // No key at all
            ["StrayEntry", ""]
          ])
          assert.deepStrictEqual(yield* all(indexes.byAge.values()), [userOf("Bob", 7), userOf("Ada", 36)])
          yield* rebuildIndexes
          assert.deepStrictEqual(yield* verify, [])
        })
      )
    }))

  it.effect("of an entry in the wrong index is found", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const numbers = Collection.make("numbers", {
        key: Schema.Int,
        value: Schema.Int,
        indexes: { own: { key: Schema.Int, of: (n) => n }, next: { key: Schema.Int, of: (n) => n + 1 } }
      })
      yield* at(path, Effect.flatMap(numbers, ({ put }) => put(1, 5)))
      const [[entry, noBytes] = yield* Effect.die("there is one")] = yield* recordsOf(path, "index/numbers/own")
      yield* at(
        path,
        Effect.gen(function*() {
          const { verify } = yield* numbers
          yield* damage([["index/numbers/next", entry, noBytes]])
          assert.deepStrictEqual(yield* verify, [{ _tag: "StrayEntry", key: "1", index: "next", indexKey: "5" }])
        })
      )
    }))

  it.effect("of the entries that a record lists is found, and repaired when the record is written again", () =>
    Effect.gen(function*() {
      const path = yield* someUsers()
      const [[ada, bytes] = yield* Effect.die("there is one")] = yield* recordsOf(path, "collection/users")
      const [, age] = CollectionRecord.entriesOf(bytes).find(([index]) => index === "byAge") ??
        (yield* Effect.die("there is one"))
      const change = (entries: ReadonlyArray<CollectionRecord.IndexEntry>) =>
        damage([["collection/users", ada, CollectionRecord.join(entries, CollectionRecord.valueOf(bytes))]])
      const entries = CollectionRecord.entriesOf(bytes)

      yield* at(
        path,
        Effect.gen(function*() {
          const { put, verify } = yield* openUsers
          // Nothing is wrong with an index that there is no more
          yield* change([...entries, ["gone", age]])
          assert.deepStrictEqual(yield* verify, [])
          yield* change([...entries, ["byAge", ByteString(`${age.slice(0, -1)}\x01`)]])
          assert.deepStrictEqual((yield* verify).map(({ _tag, key }) => [_tag, key]), [["StrayEntry", "1"]])
          // The index has it, and the record does not know
          yield* change(entries.filter(([index]) => index !== "byAge"))
          const about = { key: "1", index: "byAge", indexKey: "36" }
          assert.deepStrictEqual(yield* verify, [{ _tag: "MissingEntry", ...about }, { _tag: "StrayEntry", ...about }])
          yield* Effect.andThen(put(1, userOf("Ada", 36)), flush)
          assert.deepStrictEqual(yield* verify, [])
        })
      )
    }))
})

const value = Schema.Struct({ name: Schema.String, age: Schema.Number })

type Person = typeof value.Type

/** People with indexes by functions that a program may change. */
const people = (of: {
  readonly age?: (person: Person) => number | undefined
  readonly name?: (person: Person) => string
}) =>
  Collection.make("people", {
    key: Schema.Int,
    value,
    indexes: {
      byAge: { key: Schema.Number, of: of.age ?? (({ age }) => age) },
      byName: { key: Schema.String, of: of.name ?? (({ name }) => name), unique: true }
    }
  })

const named = (count: number) =>
  Array.from({ length: count }, (_, key): readonly [number, Person] => [key, { name: `p${key}`, age: key }])

/** Puts people as one definition has them, and uses them as another has them. */
const changed = <A, E>(
  of: Parameters<typeof people>[0],
  use: (collection: Effect.Success<ReturnType<typeof people>>) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    const path = yield* temporaryFolder
    yield* at(path, Effect.flatMap(people({}), ({ putMany }) => putMany(named(4))))
    return yield* at(path, Effect.flatMap(people(of), use))
  })

/** Opens the people by a function that gives other keys later, as one does that goes by what is around it. */
const changing = <A, E>(
  of: Parameters<typeof people>[0],
  use: (collection: Effect.Success<ReturnType<typeof people>>) => Effect.Effect<A, E>
) => {
  let isChanged = false
  return changed(
    {
      age: (person) => isChanged && of.age !== undefined ? of.age(person) : person.age,
      name: (person) => isChanged && of.name !== undefined ? of.name(person) : person.name
    },
    (collection) =>
      Effect.suspend(() => {
        isChanged = true
        return use(collection)
      })
  )
}

describe("a function that changed", () => {
  it.effect("and returns other keys causes an index build when the collection is opened, and the log reports it", () =>
    withLog((log) =>
      changed({ name: ({ age }) => `p${age + 1}` }, ({ indexes, verify }) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* verify, [])
          // Each has the key now that another had before
          assert.deepStrictEqual(yield* all(indexes.byName.keys()), [0, 1, 2, 3])
          assert.deepStrictEqual(yield* indexes.byName.get("p3"), Option.some({ name: "p2", age: 2 }))
          const warnings = log.filter(({ level }) => level === "WARN").map(({ text }) => text)
          assert.lengthOf(warnings, 1)
          assert.include(warnings[0], "\"people\"")
          assert.include(warnings[0], "\"byName\"")
          assert.notInclude(warnings[0], "\"byAge\"")
          assert.include(warnings[0], "\"version\"")
        }))
    ))

  it.effect("and returns no keys any more causes an index build", () =>
    changed({ age: () => undefined }, ({ indexes, verify }) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* verify, [])
        assert.strictEqual(yield* indexes.byAge.count(), 0)
        assert.strictEqual(yield* indexes.byName.count(), 4)
      })))

  it.effect("and returns other keys while the collection is open is reported by verify, and correct after rebuildIndexes", () =>
    changing({ name: ({ age }) => `p${age + 1}` }, ({ indexes, rebuildIndexes, verify }) =>
      Effect.gen(function*() {
        const missing = Array.from({ length: 4 }, (_, key) => `MissingEntry ${key} "p${key + 1}"`)
        const stray = Array.from({ length: 4 }, (_, key) => `StrayEntry ${key} "p${key}"`)
        const found = (yield* verify).map((problem) =>
          `${problem._tag} ${problem.key} ${problem._tag === "Undecodable" ? problem.detail : problem.indexKey}`
        )
        assert.deepStrictEqual(found.toSorted(), [...missing, ...stray].toSorted())
        yield* rebuildIndexes
        assert.deepStrictEqual(yield* verify, [])
        // Each has the key now that another had before
        assert.deepStrictEqual(yield* all(indexes.byName.keys()), [0, 1, 2, 3])
        assert.deepStrictEqual(yield* indexes.byName.get("p3"), Option.some({ name: "p2", age: 2 }))
      })))

  it.effect("and returns a value that is not a key is reported by verify, which also checks the other indexes", () =>
    changing({ age: ({ age }) => age === 2 ? Number.NaN : age, name: ({ name }) => name === "p2" ? "new" : name }, ({
      verify
    }) =>
      Effect.gen(function*() {
        const [first, ...others] = yield* verify
        assert.include(first, { _tag: "Undecodable", key: "2" })
        assert.include(first?._tag === "Undecodable" ? first.detail : "", "NaN")
        const about = { key: "2", index: "byName" }
        assert.deepStrictEqual(others, [
          { _tag: "StrayEntry", ...about, indexKey: "\"p2\"" },
          { _tag: "MissingEntry", ...about, indexKey: "\"new\"" }
        ])
      })))
})

/** A collection of 600 words whose decoding waits at one of them until it may go on. */
const waitingWords = Effect.gen(function*() {
  const begun = yield* Deferred.make<void>()
  const goOn = yield* Deferred.make<void>()
  const wait = Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(goOn))
  const Word = Schema.String.pipe(Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.transformEffect((text: string) => Effect.as(text === "word 10" ? wait : Effect.void, text)),
    encode: SchemaGetter.transform((text) => text)
  }))
  const words = yield* Collection.make("words", {
    key: Schema.Int,
    value: Word,
    indexes: {
      byLength: { key: Schema.Int, of: (word) => word.length },
      byWord: { key: Schema.String, of: (word) => word, unique: true }
    }
  })
  yield* words.putMany(Array.from({ length: 600 }, (_, key) => [key, `word ${key}`] as const))
  return { words, begun: Deferred.await(begun), goOn: Deferred.succeed(goOn, undefined) }
})

describe("verify", () => {
  it.effect("checks one state of a collection, and neither blocks other fibers nor leaves a snapshot open", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const { begun, goOn, words } = yield* waitingWords
      const verifying = yield* start(words.verify)
      yield* begun
      assert.strictEqual((yield* store.stats).snapshots, 1)
      // In the part that it looks at, and in one that comes later
      for (const key of [11, 599]) yield* words.put(key, "other " + key)
      yield* words.deleteMany([12, 598])
      yield* goOn
      assert.deepStrictEqual(yield* Fiber.join(verifying), [])
      assert.strictEqual((yield* store.stats).snapshots, 0)
    })))

  it.effect("fails with Closed when the store closes during it", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const verifying = yield* at(
        path,
        Effect.gen(function*() {
          const waiting = yield* waitingWords
          const fiber = yield* Effect.forkDetach(waiting.words.verify)
          yield* waiting.begun
          return { fiber, goOn: waiting.goOn }
        })
      )
      yield* verifying.goOn
      assert.deepInclude(yield* Effect.flip(Fiber.join(verifying.fiber)), { _tag: "Closed", what: "Store", path })
    }))

  it.effect("continues after values and keys that do not decode", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(path, Effect.flatMap(people({}), ({ putMany }) => putMany(named(2))))
      const [[first, bytes] = yield* Effect.die("there is one")] = yield* recordsOf(path, "collection/people")
      const noValue = CollectionRecord.join(CollectionRecord.entriesOf(bytes), Buffer.of(1, 0xc1))
      const writes: ReadonlyArray<Engine.Write> = [
        ["collection/people", first, noValue],
        ["collection/people", ByteString("\xff"), CollectionRecord.valueOf(bytes)]
      ]
      const problems = yield* at(
        path,
        Effect.gen(function*() {
          const { verify } = yield* people({})
          yield* damage(writes)
          return yield* verify
        })
      )
      assert.deepStrictEqual(problems.map(({ _tag, key }) => [_tag, key]), [
        ["Undecodable", "0"],
        ["Undecodable", "1 byte"],
        ["MissingEntry", "1 byte"],
        ["MissingEntry", "1 byte"]
      ])
    }))
})
