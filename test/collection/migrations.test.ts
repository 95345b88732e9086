/** The version of a collection, and migrations from one to the next. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import { expectTypeOf } from "vitest"
import { Collection, Store } from "../../src/index.ts"
import { all, at, type Failure } from "../support/fixtures/collections.ts"
import { temporaryFolder, withLog } from "../support/harness.ts"

/** What a person was in the versions of a program. */
const First = Schema.Struct({ name: Schema.String })
const Second = Schema.Struct({ fullName: Schema.String })
const Third = Schema.Struct({ fullName: Schema.String, born: Schema.Number })

const decode = <T, E>(schema: Schema.Codec<T, E>, value: unknown) =>
  Effect.orDie(Schema.decodeUnknownEffect(schema)(value))

const toSecond = (value: unknown) => Effect.map(decode(First, value), ({ name }) => ({ fullName: name }))
const toThird = (value: unknown) => Effect.map(decode(Second, value), (second) => ({ ...second, born: 1815 }))

const indexes = { byName: { key: Schema.String, of: ({ fullName }: typeof Second.Type) => fullName, unique: true } }

const first = Collection.make("people", {
  key: Schema.Int,
  value: First,
  indexes: { byName: { key: Schema.String, of: ({ name }) => name, unique: true } }
})
const second = Collection.make("people", {
  key: Schema.Int,
  value: Second,
  indexes,
  version: 2,
  migrations: { 1: toSecond }
})
const third = Collection.make("people", {
  key: Schema.Int,
  value: Third,
  indexes,
  version: 3,
  migrations: { 1: toSecond, 2: toThird }
})

const manyNames = (count: number) => Array.from({ length: count }, (_, key) => [key, { name: `n${key}` }] as const)

/** People as the first version of the program kept them. */
const firstPeople = Effect.fnUntraced(function*(count: number) {
  const path = yield* temporaryFolder
  yield* at(path, Effect.flatMap(first, ({ putMany }) => putMany(manyNames(count))))
  return path
})

const fails = Effect.fnUntraced(function*(
  path: string,
  open: Effect.Effect<unknown, Failure, Store>,
  reason: string,
  options: Parameters<typeof at>[2] = {}
) {
  const failure = yield* at(path, Effect.flip(open), options)
  assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": reason, collection: "people" })
  return failure
})

/** What a program without types takes for an effect. */
const asEffect = (given: unknown): Effect.Effect<unknown> => {
  const isAnything = (value: unknown): value is Effect.Effect<unknown> => value === given
  return isAnything(given) ? given : Effect.void
}

describe("a migration", () => {
  it.effect("converts every record to the next version, and its index entries", () =>
    Effect.gen(function*() {
      const path = yield* firstPeople(3)
      yield* at(
        path,
        Effect.gen(function*() {
          const { getOrFail, indexes: { byName }, values, verify } = yield* second
          assert.deepStrictEqual(yield* getOrFail(1), { fullName: "n1" })
          assert.deepStrictEqual(yield* all(values()), [{ fullName: "n0" }, { fullName: "n1" }, { fullName: "n2" }])
          assert.deepStrictEqual(yield* all(byName.keys({ gte: "n1" })), [1, 2])
          assert.deepStrictEqual(yield* verify, [])
        })
      )
    }))

  it.effect("runs after the previous one, over several versions, once for each record", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const count = 1100
        const path = yield* firstPeople(count)
        const ran = yield* Ref.make<ReadonlyArray<string>>([])
        const counting = Collection.make("people", {
          key: Schema.Int,
          value: Third,
          indexes,
          version: 3,
          migrations: {
            1: (value) =>
              Effect.tap(toSecond(value), ({ fullName }) => Ref.update(ran, (done) => [...done, `1 ${fullName}`])),
            2: (value) =>
              Effect.tap(toThird(value), ({ fullName }) => Ref.update(ran, (done) => [...done, `2 ${fullName}`]))
          }
        })
        for (let time = 1; time <= 2; time++) {
          const { born, last, problems } = yield* at(
            path,
            Effect.gen(function*() {
              const { values, verify } = yield* counting
              const people = yield* all(values())
              return { born: people.filter((one) => one.born === 1815), last: people.at(-1), problems: yield* verify }
            })
          )
          assert.lengthOf(born, count)
          assert.deepStrictEqual(last, { fullName: `n${count - 1}`, born: 1815 })
          assert.deepStrictEqual(problems, [])
        }
        const expected = [1, 2].flatMap((from) => manyNames(count).map(([, { name }]) => `${from} ${name}`))
        assert.deepStrictEqual(yield* Ref.get(ran), expected)
        assert.isTrue(log.some(({ text }) => text.startsWith("Migrating from version 1 of the collection \"people\"")))
      })
    ))

  it.effect("can move a unique key from one record to another", () =>
    Effect.gen(function*() {
      const path = yield* firstPeople(5)
      const shifted = Collection.make("people", {
        key: Schema.Int,
        value: Second,
        indexes,
        version: 2,
        migrations: {
          1: (value) => Effect.map(decode(First, value), ({ name }) => ({ fullName: `n${Number(name.slice(1)) + 1}` }))
        }
      })
      yield* at(
        path,
        Effect.gen(function*() {
          const { indexes: { byName }, verify } = yield* shifted
          assert.deepStrictEqual(yield* verify, [])
          assert.deepStrictEqual(yield* all(byName.keys()), [0, 1, 2, 3, 4])
          assert.deepStrictEqual(yield* byName.getOrFail("n5"), { fullName: "n5" })
        })
      )
    }))

  it.effect("that gives two records the same key in a unique index fails with a typed error", () =>
    Effect.gen(function*() {
      const path = yield* firstPeople(2)
      const same = Collection.make("people", {
        key: Schema.Int,
        value: Second,
        indexes,
        version: 2,
        migrations: { 1: () => Effect.succeed({ fullName: "Ada" }) }
      })
      const failure = yield* fails(path, same, "Index")
      assert.include(failure.message, "unique index \"byName\"")
    }))

  it.effect("may need services and may fail", () =>
    Effect.gen(function*() {
      class Births
        extends Context.Service<Births, { readonly yearOf: (name: string) => Effect.Effect<number, Unknown> }>()(
          "Births"
        )
      {}
      class Unknown extends Data.TaggedError("Unknown")<{ readonly name: string }> {}
      const path = yield* firstPeople(3)
      const serviced = Collection.make("people", {
        key: Schema.Int,
        value: Third,
        version: 3,
        migrations: {
          1: toSecond,
          2: (value) =>
            Effect.gen(function*() {
              const { fullName } = yield* decode(Second, value)
              const births = yield* Births
              return { fullName, born: yield* births.yearOf(fullName) }
            })
        }
      })
      expectTypeOf<Effect.Services<typeof serviced>>().toEqualTypeOf<Store | Births>()
      const failing = Effect.provideService(serviced, Births, {
        yearOf: (name) => name === "n2" ? Effect.fail(new Unknown({ name })) : Effect.succeed(1900)
      })
      const failure = yield* fails(path, failing, "Migration")
      assert.include(failure.message, "version 2")
      assert.include(failure.message, "key 2")
      assert.include(
        failure.message,
        "It has changed nothing, and a program of version 2 can still open the collection."
      )
      assert.deepStrictEqual("cause" in failure ? failure.cause : undefined, new Unknown({ name: "n2" }))

      const succeeding = Effect.provideService(serviced, Births, { yearOf: () => Effect.succeed(1901) })
      const people = yield* at(path, Effect.flatMap(succeeding, ({ values }) => all(values())))
      assert.deepStrictEqual(people.map(({ born }) => born), [1901, 1901, 1901])
    }))

  it.effect("fails with a typed error if the schema does not accept its result", () =>
    Effect.gen(function*() {
      const path = yield* firstPeople(1)
      const wrong = Collection.make("people", {
        key: Schema.Int,
        value: Third,
        version: 2,
        migrations: { 1: toSecond }
      })
      const failure = yield* fails(path, wrong, "Migration")
      assert.include("cause" in failure ? failure.cause : {}, {
        _tag: "ValueDecoding",
        collection: "people",
        shownKey: "0"
      })
      const unstorable = Collection.make("people", {
        key: Schema.Int,
        value: Schema.Unknown,
        version: 2,
        migrations: { 1: () => Effect.succeed(() => 1) }
      })
      yield* fails(path, unstorable, "Migration")
      const noEffect = Collection.make("people", {
        key: Schema.Int,
        value: Schema.Unknown,
        version: 2,
        migrations: { 1: () => asEffect(Promise.resolve({ name: "Ada" })) }
      })
      assert.include((yield* fails(path, noEffect, "Migration")).message, "it returned no Effect")
      // Nothing has happened to the data
      assert.deepStrictEqual(yield* at(path, Effect.flatMap(first, ({ getOrFail }) => getOrFail(0))), { name: "n0" })
    }))

  it.effect("leaves the collection at its own version if a later migration fails", () =>
    Effect.gen(function*() {
      const path = yield* firstPeople(3)
      const failing = Collection.make("people", {
        key: Schema.Int,
        value: Third,
        indexes,
        version: 3,
        migrations: { 1: toSecond, 2: () => Effect.fail("no") }
      })
      yield* fails(path, failing, "Migration")
      // The program is taken back to the version before
      const people = yield* at(path, Effect.flatMap(second, ({ indexes: { byName } }) => all(byName.values())))
      assert.deepStrictEqual(people, [{ fullName: "n0" }, { fullName: "n1" }, { fullName: "n2" }])
    }))

  it.effect("does not run for a new collection", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const never = Collection.make("people", {
        key: Schema.Int,
        value: Third,
        version: 3,
        migrations: { 1: () => Effect.die("not to be run"), 2: () => Effect.die("not to be run") }
      })
      yield* at(path, Effect.flatMap(never, ({ put }) => put(1, { fullName: "Ada", born: 1815 })))
      assert.strictEqual(yield* at(path, Effect.flatMap(never, ({ size }) => size)), 1)
    }))

  it.effect("runs once when two fibers open the collection at the same time", () =>
    Effect.gen(function*() {
      const path = yield* firstPeople(1100)
      yield* at(
        path,
        Effect.gen(function*() {
          const opened = yield* Effect.all([third, third, third], { concurrency: "unbounded" })
          for (const { verify } of opened) assert.deepStrictEqual(yield* verify, [])
          assert.isTrue((yield* all(opened[0].values())).every(({ born }) => born === 1815))
        })
      )
    }))
})

describe("a collection does not open", () => {
  it.effect("when its version is later than that of the program", () =>
    Effect.gen(function*() {
      const path = yield* firstPeople(1)
      yield* at(path, third)
      for (const open of [first, second]) {
        const failure = yield* fails(path, open, "NewerVersion")
        assert.include(failure.message, "version 3")
      }
      assert.strictEqual(yield* at(path, Effect.flatMap(third, ({ size }) => size)), 1)
    }))

  it.effect("when a schema has changed under the same version", () =>
    Effect.gen(function*() {
      const path = yield* firstPeople(1)
      const changed = [
        Collection.make("people", { key: Schema.Int, value: Second }),
        Collection.make("people", { key: Schema.String, value: First }),
        Collection.make("people", { key: Schema.Tuple([Schema.Int]), value: First }),
        Collection.make("people", { key: Schema.Int, value: Schema.Struct({ name: Schema.Number }) })
      ]
      for (const open of changed) {
        yield* fails(path, Effect.asVoid<unknown, Failure, Store>(open), "ChangedSchema")
      }
      // The same on disk is the same: a class, a brand, a description
      class Person extends Schema.Class<Person>("Person")({ name: Schema.String }) {}
      const described = Schema.Struct({ name: Schema.String.annotate({ description: "first and last" }) })
      const same = [
        Collection.make("people", { key: Schema.Int, value: Person }),
        Collection.make("people", { key: Schema.Int.pipe(Schema.brand("PersonId")), value: First }),
        Collection.make("people", { key: Schema.Int, value: described })
      ]
      for (const open of same) yield* at(path, Effect.asVoid<unknown, Failure, Store>(open))
      // A schema that takes all that is stored opens too
      yield* at(
        path,
        Collection.make("people", { key: Schema.Int, value: Schema.Struct({ name: Schema.NullOr(Schema.String) }) })
      )
    }))

  it.effect("when the migration from its version is missing, and no record is migrated", () =>
    Effect.gen(function*() {
      const path = yield* firstPeople(1)
      const none = Collection.make("people", { key: Schema.Int, value: Second, version: 2 })
      const gap = Collection.make("people", { key: Schema.Int, value: Third, version: 3, migrations: { 2: toThird } })
      const later = Collection.make("people", {
        key: Schema.Int,
        value: Third,
        version: 3,
        migrations: { 1: toSecond }
      })
      for (const open of [none, gap, later]) {
        const failure = yield* fails(path, Effect.asVoid<unknown, Failure, Store>(open), "MissingMigration")
        assert.include(failure.message, open === later ? "version 2" : "version 1")
        assert.include(failure.message, `add one as the property ${open === later ? 2 : 1} of \`migrations\``)
      }
      assert.deepStrictEqual(yield* at(path, Effect.flatMap(first, ({ getOrFail }) => getOrFail(0))), { name: "n0" })
    }))

  it.effect("when it needs a migration or an index build and the store is read-only", () =>
    Effect.gen(function*() {
      const path = yield* firstPeople(2)
      const readOnly = { readOnly: true }
      yield* fails(path, second, "Migration", readOnly)
      const other = Collection.make("people", {
        key: Schema.Int,
        value: First,
        indexes: { byLength: { key: Schema.Int, of: ({ name }) => name.length } }
      })
      yield* fails(path, other, "Index", readOnly)
      yield* at(
        path,
        Effect.gen(function*() {
          const { getOrFail, indexes: { byName }, put, verify } = yield* first
          assert.deepStrictEqual(yield* getOrFail(0), { name: "n0" })
          assert.deepStrictEqual(yield* all(byName.keys()), [0, 1])
          assert.deepStrictEqual(yield* verify, [])
          assert.strictEqual((yield* Effect.flip(put(3, { name: "x" })))._tag, "ReadOnly")
          const nothing = yield* Collection.make("nothing", { key: Schema.Int, value: First })
          assert.strictEqual(yield* nothing.size, 0)
        }),
        readOnly
      )
    }))
})
