/** A schema that takes all that is stored is deployed without a migration, and rolled back. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { spawnSync } from "node:child_process"
import * as process from "node:process"
import { Collection, Store } from "../../src/index.ts"
import * as Catalog from "../../src/internal/collection/catalog.ts"
import * as StoreInternals from "../../src/internal/store/storeInternals.ts"
import { all, at, type Failure, recordsOf } from "../support/fixtures/collections.ts"
import { temporaryFolder, withLog } from "../support/harness.ts"

const byName = { key: Schema.String, of: ({ name }: { readonly name: string }) => name, unique: true }

const of = <V extends Schema.Codec<{ readonly name: string }, unknown>>(value: V) =>
  Collection.make("people", { key: Schema.Int, value, indexes: { byName } })

/** People of the second version, by a migration of one line. */
const second = <V extends Schema.Codec<{ readonly name: string }, unknown>>(value: V) =>
  Collection.make("people", { key: Schema.Int, value, version: 2, migrations: { 1: Effect.succeed } })

const Person = Schema.Struct({ name: Schema.String })
const WithNick = Schema.Struct({ name: Schema.String, nick: Schema.optionalKey(Schema.String) })
const old = of(Person)
const newer = of(WithNick)

const failing = Effect.fnUntraced(function*(
  path: string,
  open: Effect.Effect<unknown, Failure, Store>,
  options?: Parameters<typeof at>[2]
) {
  const failure = yield* at(path, Effect.flip(open), options)
  assert.include(failure, { _tag: "CollectionFailed", collection: "people" })
  assert.include(failure.reason, { _tag: "ChangedSchema" })
  return failure.message
})

const oldPeople = Effect.gen(function*() {
  const path = yield* temporaryFolder
  yield* at(path, Effect.flatMap(old, ({ putMany }) => putMany([[1, { name: "Ada" }], [2, { name: "Alan" }]])))
  return path
})

/** What is stored about the collection. */
const catalogOf = (path: string) =>
  at(
    path,
    Effect.flatMap(Store, (store) => {
      const { access: { handle: { core: { backend, structures } } } } = StoreInternals.of(store)
      return Catalog.read(backend.reader, "people", structures)
    })
  )

/** Leaves what an earlier version of the package would have stored about the collection. */
const withoutShape = (path: string) =>
  at(
    path,
    Effect.gen(function*() {
      const { access: { handle: { core: { backend, structures } } } } = StoreInternals.of(yield* Store)
      const stored = yield* Catalog.read(backend.reader, "people", structures)
      assert(stored !== undefined)
      const { shape: _, ...others } = stored
      yield* backend.write([Catalog.toWrite("people", others, structures)], () => () => undefined)
    })
  )

describe("an added optional field", () => {
  it.effect("is deployed, rolled back and deployed again, and no record is rewritten", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* oldPeople
        const records = yield* recordsOf(path, "collection/people")
        const entries = yield* recordsOf(path, "index/people/byName")
        yield* at(path, newer)
        assert.deepStrictEqual(yield* recordsOf(path, "collection/people"), records)
        assert.deepStrictEqual(yield* recordsOf(path, "index/people/byName"), entries)
        yield* at(
          path,
          Effect.gen(function*() {
            const people = yield* newer
            yield* people.put(1, { name: "Ada", nick: "Countess" })
            assert.deepStrictEqual(yield* people.getOrFail(2), { name: "Alan" })
          })
        )
        yield* at(
          path,
          Effect.gen(function*() {
            const people = yield* old
            assert.deepStrictEqual(yield* all(people.values()), [{ name: "Ada" }, { name: "Alan" }])
            yield* people.put(3, { name: "Grace" })
            assert.deepStrictEqual(yield* people.verify, [])
          })
        )
        // A read-only program opens it too
        assert.strictEqual(yield* at(path, Effect.flatMap(old, ({ size }) => size), { readOnly: true }), 3)
        yield* at(
          path,
          Effect.gen(function*() {
            const people = yield* newer
            assert.deepStrictEqual(yield* all(people.values()), [
              { name: "Ada", nick: "Countess" },
              { name: "Alan" },
              { name: "Grace" }
            ])
            assert.deepStrictEqual(yield* people.indexes.byName.getOrFail("Grace"), { name: "Grace" })
            assert.deepStrictEqual(yield* people.verify, [])
          })
        )
        assert.deepStrictEqual(log.filter(({ level, text }) => level === "WARN" || text.includes("index")), [])
      })
    ))

  it.effect("is recorded: no later schema may have a different field of that name", () =>
    Effect.gen(function*() {
      const path = yield* oldPeople
      yield* at(path, newer)
      yield* at(path, old)
      const message = yield* failing(
        path,
        of(Schema.Struct({ name: Schema.String, nick: Schema.optionalKey(Schema.Number) }))
      )
      assert.include(message, "field `nick` does not accept values that may be stored: String")
    }))

  it.effect("builds only the new index", () =>
    Effect.gen(function*() {
      const path = yield* oldPeople
      const entries = yield* recordsOf(path, "index/people/byName")
      const byNick = { key: Schema.String, of: ({ nick }: typeof WithNick.Type) => nick }
      const indexed = Collection.make("people", { key: Schema.Int, value: WithNick, indexes: { byName, byNick } })
      yield* at(
        path,
        Effect.gen(function*() {
          const people = yield* indexed
          yield* people.put(2, { name: "Alan", nick: "Prof" })
          assert.strictEqual(yield* people.indexes.byNick.count({ equals: "Prof" }), 1)
          assert.deepStrictEqual(yield* people.verify, [])
        })
      )
      assert.deepStrictEqual(yield* recordsOf(path, "index/people/byName"), entries)
      assert.deepStrictEqual(yield* recordsOf(path, "index/people/byName/2"), [])
    }))

  it.effect("with a decoding default is present in records that were stored without it", () =>
    Effect.gen(function*() {
      const path = yield* oldPeople
      const WithRole = Schema.Struct({
        name: Schema.String,
        role: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("guest")))
      })
      const people = yield* at(path, Effect.flatMap(of(WithRole), ({ values }) => all(values())))
      assert.deepStrictEqual(people, [{ name: "Ada", role: "guest" }, { name: "Alan", role: "guest" }])
    }))

  it.effect("without a default is named in the error", () =>
    Effect.gen(function*() {
      const path = yield* oldPeople
      const WithAge = Schema.Struct({ name: Schema.String, age: Schema.Number })
      for (const readOnly of [false, true]) {
        assert.include(
          yield* failing(path, of(WithAge), { readOnly }),
          "field `age` was added without a default; give a new version and a migration."
        )
      }
    }))
})

/** People with roles. */
const roles = <const R extends ReadonlyArray<string>>(...literals: R) =>
  of(Schema.Struct({ name: Schema.String, role: Schema.Literals(literals) }))

describe("a wider union", () => {
  const narrow = roles("guest", "owner")
  const wide = roles("guest", "owner", "admin")

  it.effect("is accepted, and a rolled-back program opens, reads what it can, and says so in the log", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* at(path, Effect.flatMap(narrow, ({ put }) => put(1, { name: "Ada", role: "owner" })))
        yield* at(path, Effect.flatMap(wide, ({ put }) => put(2, { name: "Alan", role: "admin" })))
        assert.deepStrictEqual(log.filter(({ level }) => level === "WARN"), [])
        yield* at(
          path,
          Effect.gen(function*() {
            const people = yield* narrow
            assert.deepStrictEqual(yield* people.getOrFail(1), { name: "Ada", role: "owner" })
            assert.include(yield* Effect.flip(people.get(2)), { _tag: "ValueDecoding", collection: "people", key: 2 })
            yield* people.put(3, { name: "Grace", role: "guest" })
          })
        )
        const warning = log.find(({ level }) => level === "WARN")
        assert.include(warning?.text, "field `role` does not accept values that may be stored: \"admin\"")
        const people = yield* at(path, Effect.flatMap(wide, ({ values }) => all(values())))
        assert.deepStrictEqual(people.map(({ role }) => role), ["owner", "admin", "guest"])
      })
    ))

  it.effect("is recorded: a new schema that does not accept all of it is refused", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(path, wide)
      const message = yield* failing(path, roles("guest", "admin"))
      assert.include(message, "field `role` does not accept values that may be stored: \"owner\"")
    }))
})

describe("a file of an earlier version of the package, with a fingerprint alone", () => {
  it.effect("opens with the same schema, and accepts wider schemas afterwards", () =>
    Effect.gen(function*() {
      const path = yield* oldPeople
      yield* withoutShape(path)
      assert.include(yield* failing(path, newer), "its schemas are not those of version 1")
      assert.strictEqual(yield* at(path, Effect.flatMap(old, ({ size }) => size)), 2)
      assert.strictEqual(yield* at(path, Effect.flatMap(newer, ({ size }) => size)), 2)
    }))

  it.effect("needs the same schema if a migration may have left other fields", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(path, second(Person))
      yield* withoutShape(path)
      yield* at(path, second(Person))
      yield* failing(path, second(WithNick))
    }))
})

describe("a migration", () => {
  it.effect("removes fields that a later schema could reuse", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const First = Schema.Struct({ name: Schema.String, nick: Schema.Number })
      yield* at(path, Effect.flatMap(of(First), ({ put }) => put(1, { name: "Ada", nick: 7 })))
      yield* at(path, second(Person))
      // The number under this name is gone
      const people = yield* at(path, Effect.flatMap(second(WithNick), ({ values }) => all(values())))
      assert.deepStrictEqual(people, [{ name: "Ada" }])
      assert.notProperty(yield* catalogOf(path), "hasOtherFields")
    }))

  it.effect("keeps the fields that distinguish the members of a union, and then no wider schema is accepted", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      // Text that is a number belongs to the first member, other text to the second, which has a further field.
      const Numbered = Schema.Struct({ name: Schema.String, at: Schema.FiniteFromString })
      const Noted = Schema.Struct({ name: Schema.String, at: Schema.String, note: Schema.String })
      const Either = Schema.Union([Numbered, Noted])
      yield* at(path, Effect.flatMap(of(Noted), ({ put }) => put(1, { name: "Ada", at: "noon", note: "n" })))
      const people = yield* at(path, Effect.flatMap(second(Either), ({ values }) => all(values())))
      assert.deepStrictEqual(people, [{ name: "Ada", at: "noon", note: "n" }])
      yield* failing(path, second(Schema.Union([Numbered, Noted, WithNick])))
    }))
})

describe("two programs that share a store", () => {
  it.effect("continue to write after one of them opens with a wider schema", () =>
    Effect.gen(function*() {
      const path = yield* oldPeople
      const program = new URL("../programs/openWithNick.ts", import.meta.url).pathname
      yield* at(
        path,
        Effect.gen(function*() {
          const store = yield* Store
          const people = yield* old
          yield* people.put(3, { name: "Grace" })
          const { stderr, stdout } = spawnSync(process.execPath, [program, path], { encoding: "utf8" })
          assert.deepStrictEqual({ stderr, stdout }, { stderr: "", stdout: "opened\n" })
          yield* people.put(4, { name: "Edsger" })
          yield* store.flush
          assert.deepStrictEqual(yield* people.getOrFail(5), { name: "Barbara" })
        }),
        { shared: true }
      )
      const people = yield* at(path, Effect.flatMap(newer, ({ values }) => all(values())))
      assert.deepStrictEqual(people.map(({ name }) => name), ["Ada", "Alan", "Grace", "Edsger", "Barbara"])
      assert.deepStrictEqual(people.at(-1), { name: "Barbara", nick: "B" })
    }))
})

describe("the checks of a schema", () => {
  it.effect("may change alone, and no check may be added together with other changes", () =>
    Effect.gen(function*() {
      const path = yield* oldPeople
      const Named = Schema.Struct({ name: Schema.NonEmptyString })
      const NamedWithNick = Schema.Struct({ name: Schema.NonEmptyString, nick: Schema.optionalKey(Schema.String) })
      assert.include(
        yield* failing(path, of(NamedWithNick)),
        "field `name` has a check that stored values may not pass"
      )
      yield* at(path, of(Named))
      yield* at(path, of(NamedWithNick))
      yield* at(path, of(Person))
    }))
})
