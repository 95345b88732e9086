/** The reasons of errors, as `Effect.catchReason`, `catchReasons` and `unwrapReason` take them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { expectTypeOf } from "vitest"
import {
  Collection,
  type CollectionFailed,
  DuplicateKeys,
  type KeyEncoding,
  OpenFailed,
  OpenFailedReason,
  Store,
  type StoreHolder
} from "../../src/index.ts"
import { temporaryFolder } from "../support/harness.ts"

const open = (path: string, options: object = {}) => Effect.asVoid(Effect.scoped(Store.make({ path, ...options })))

describe("Effect.catchReason", () => {
  it.effect("catches one reason of OpenFailed, with the fields of that reason", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const caught = open(path, { batchSize: 0 }).pipe(
        Effect.catchReason("OpenFailed", "BadOption", ({ detail, option }, error) => {
          expectTypeOf(option).toEqualTypeOf<string>()
          return Effect.succeed({ option, detail, message: error.message })
        })
      )
      expectTypeOf<Effect.Error<typeof caught>>().toEqualTypeOf<OpenFailed>()
      assert.deepStrictEqual(yield* caught, {
        option: "batchSize",
        detail: "it must be a whole number of at least 1",
        message: `Cannot open the store at ${path}: option batchSize: it must be a whole number of at least 1`
      })
      const others = Effect.catchReason(
        open(path, { readOnly: true }),
        "OpenFailed",
        "BadOption",
        () => Effect.succeed("another")
      )
      assert.include(yield* Effect.flip(others), { _tag: "OpenFailed", path: `${path}/data.mdb` })
    }))

  it.effect("has the process that has the store open", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Store.make({ path })
      const caught = open(path, { compression: true }).pipe(
        Effect.catchReason("OpenFailed", "AlreadyOpen", ({ holder, option }) => {
          expectTypeOf(holder).toEqualTypeOf<StoreHolder | undefined>()
          return Effect.succeed(option)
        })
      )
      assert.strictEqual(yield* caught, "compression")
    }))

  it.effect("catches one reason of KeyEncoding", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const put = (key: string) =>
        store.put(key, 1).pipe(
          Effect.as("stored"),
          Effect.catchReason("KeyEncoding", "TooLong", ({ detail }) => Effect.succeed(detail))
        )
      assert.include(yield* put("k".repeat(2_000)), "2,000 bytes")
      assert.strictEqual(yield* put("k"), "stored")
      assert.include(yield* Effect.flip(put("")), { _tag: "KeyEncoding" })
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect("catches one reason of CollectionFailed, with its duplicates", () =>
    Effect.gen(function*() {
      const people = { key: Schema.Int, value: Schema.String }
      const plain = yield* Collection.make("people", people)
      yield* plain.putMany([[1, "Ada"], [2, "Ada"]])
      const unique = Collection.make("people", {
        ...people,
        indexes: { byName: { key: Schema.String, of: (name: string) => name, unique: true } }
      })
      const count = unique.pipe(
        Effect.as(0),
        Effect.catchReason("CollectionFailed", "Index", ({ duplicates }) => Effect.succeed(duplicates?.count))
      )
      assert.strictEqual(yield* count, 1)
      const error = yield* Effect.flip(unique)
      assert.instanceOf(error._tag === "CollectionFailed" ? error.duplicates : undefined, DuplicateKeys)
    }).pipe(Effect.provide(Store.layerTemp())))
})

describe("Effect.catchReasons and Effect.unwrapReason", () => {
  it.effect("handle several reasons, or all", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const caught = (options: object) =>
        open(path, options).pipe(
          Effect.as("opened"),
          Effect.catchReasons("OpenFailed", {
            BadOption: ({ option }) => Effect.succeed(option),
            Missing: ({ _tag }) => Effect.succeed(_tag)
          })
        )
      assert.strictEqual(yield* caught({ batchSize: 0 }), "batchSize")
      assert.strictEqual(yield* caught({ readOnly: true }), "Missing")
      const unwrapped = Effect.unwrapReason(open(path, { readOnly: true }), "OpenFailed")
      expectTypeOf<Effect.Error<typeof unwrapped>>().toEqualTypeOf<OpenFailedReason>()
      assert.deepStrictEqual(yield* Effect.flip(unwrapped), {
        _tag: "Missing",
        detail: "there is no database at this path"
      })
    }))
})

describe("a reason", () => {
  it.effect("can be matched, can be encoded by its schema, and is shown by its error", () =>
    Effect.gen(function*() {
      const error = new OpenFailed({
        reason: { _tag: "BadOption", option: "mapSize", detail: "it is odd" },
        path: "/a"
      })
      assert.strictEqual(error.message, "Cannot open the store at /a: option mapSize: it is odd")
      assert.deepStrictEqual([error.detail, error.option, error.holder], ["it is odd", "mapSize", undefined])
      const codec = Schema.toCodecJson(OpenFailed)
      const encoded = yield* Schema.encodeEffect(codec)(error)
      assert.deepStrictEqual((yield* Schema.decodeEffect(codec)(encoded)).reason, error.reason)
      assert.isTrue(OpenFailedReason.guards.BadOption(error.reason))
      expectTypeOf<KeyEncoding["reason"]["_tag"]>().toEqualTypeOf<
        | "Empty"
        | "TooLong"
        | "LoneSurrogate"
        | "NotInEncoding"
        | "StringNotAllowed"
        | "WrongType"
        | "NotDecodable"
        | "Schema"
        | "Argument"
      >()
      expectTypeOf<CollectionFailed["reason"]["_tag"]>().toEqualTypeOf<
        | "BadDefinition"
        | "NewerVersion"
        | "ChangedSchema"
        | "MissingMigration"
        | "Migration"
        | "Index"
        | "TooManyDatabases"
      >()
    }))
})
