/** Values by schema: what is stored, and schemas that need services or take their time. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { expectTypeOf } from "vitest"
import {
  type Closed,
  Collection,
  type EngineFailure,
  type KeyEncoding,
  type Store,
  type ValueDecoding,
  type WriteOptions
} from "../../src/index.ts"
import { all, at, inStore, User, user } from "../support/fixtures/collections.ts"
import { temporaryFolder } from "../support/harness.ts"

/** Puts a value, and reads it from memory and from disk. */
const roundTrip = <T, E>(name: string, schema: Schema.Codec<T, E>, value: T, stored?: unknown) =>
  it.effect(name, () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const open = Collection.make("values", { key: Schema.Int, value: schema })
      yield* at(
        path,
        Effect.gen(function*() {
          const collection = yield* open
          yield* collection.put(1, value)
          assert.deepStrictEqual(yield* collection.getOrFail(1), value)
        })
      )
      const read = yield* at(path, Effect.flatMap(open, (collection) => collection.getOrFail(1)))
      assert.deepStrictEqual(read, value)
      if (stored === undefined) return
      // What is stored is the encoded form: `Unknown` shows it, once a migration has taken it over.
      const raw = Collection.make("values", {
        key: Schema.Int,
        value: Schema.Unknown,
        version: 2,
        migrations: { 1: Effect.succeed }
      })
      assert.deepStrictEqual(yield* at(path, Effect.flatMap(raw, ({ getOrFail }) => getOrFail(1))), stored)
    }))

class Circle extends Schema.TaggedClass<Circle>()("Circle", { radius: Schema.Number }) {
  get area() {
    return Math.PI * this.radius ** 2
  }
}
class Square extends Schema.TaggedClass<Square>()("Square", { side: Schema.Number }) {}

interface Tree {
  readonly name: string
  readonly children: ReadonlyArray<Tree>
}
const Tree: Schema.Codec<Tree> = Schema.Struct({
  name: Schema.String,
  children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree))
})

/** A list by its first element: a recursive schema that is made anew at each of its levels. */
interface Chain<A> {
  readonly first: A
  readonly rest: ReadonlyArray<Chain<A>>
}
const chainOf = <A, E>(first: Schema.Codec<A, E>): Schema.Codec<Chain<A>, Chain<E>> =>
  Schema.Struct({ first, rest: Schema.Array(Schema.suspend(() => chainOf(first))) })

const openChains = <A>(first: Schema.Codec<A>) => Collection.make("chains", { key: Schema.Int, value: chainOf(first) })

/** A list of what a schema is of, twice over. */
const twice = (part: Schema.Codec<unknown>): Schema.Codec<unknown> => Schema.Array(Schema.Union([part, part]))

const Renamed = Schema.Struct({ name: Schema.String }).pipe(Schema.encodeKeys({ name: "n" }))

describe("a value is read as it was put:", () => {
  roundTrip("an instance of a class, stored as its fields", User, user(), {
    name: "Ada",
    email: "ada@example.com",
    age: 36,
    tags: []
  })
  roundTrip("one of a union of classes", Schema.Union([Circle, Square]), new Circle({ radius: 2 }), {
    _tag: "Circle",
    radius: 2
  })
  roundTrip("text, numbers and nothing", Schema.Tuple([Schema.String, Schema.Number, Schema.Null]), ["a", -0, null])
  roundTrip("undefined", Schema.Undefined, undefined)
  roundTrip("a Date as it is", Schema.Struct({ at: Schema.Date }), { at: new Date(5) }, { at: new Date(5) })
  roundTrip("a Date as text", Schema.Struct({ at: Schema.DateFromString }), { at: new Date(5) }, {
    at: "1970-01-01T00:00:00.005Z"
  })
  roundTrip("a number as text", Schema.NumberFromString, 5, "5")
  roundTrip("a field under another name", Renamed, { name: "Ada" }, { n: "Ada" })
  roundTrip("an Option as null", Schema.OptionFromNullOr(Schema.Number), Option.none(), null)
  roundTrip("a recursive value", Tree, { name: "a", children: [{ name: "b", children: [] }] })
  roundTrip("a value whose schema a function makes, as it is", chainOf(Schema.Date), {
    first: new Date(1),
    rest: [{ first: new Date(2), rest: [] }]
  }, { first: new Date(1), rest: [{ first: new Date(2), rest: [] }] })
  roundTrip("a value whose schema a function makes, as JSON", chainOf(Schema.Option(Schema.Int)), {
    first: Option.some(1),
    rest: [{ first: Option.none(), rest: [] }]
  })
  roundTrip("a Map", Schema.ReadonlyMap(Schema.String, Schema.Number), new Map([["a", 1]]))
  roundTrip("anything", Schema.Unknown, { a: [new Date(1), new Set([1n]), Uint8Array.of(1)] })
  roundTrip("an Option", Schema.Struct({ a: Schema.Option(Schema.Date) }), { a: Option.some(new Date(1)) })
  roundTrip("a time", Schema.Struct({ at: Schema.DateTimeUtc }), { at: DateTime.makeUnsafe(5) })
  roundTrip("a duration", Schema.Struct({ took: Schema.Duration }), { took: Duration.millis(5) })
  roundTrip("a HashMap", Schema.HashMap(Schema.String, Schema.Number), HashMap.make(["a", 1]))
  roundTrip("an instance of a class with methods", Circle, new Circle({ radius: 1 }))

  it.effect("with a schema that a function makes at each call, if it always makes the same schema", () =>
    inStore(Effect.gen(function*() {
      const chain = { first: "a", rest: [{ first: "b", rest: [] }] }
      yield* Effect.flatMap(openChains(Schema.String), (chains) => chains.put(1, chain))
      assert.deepStrictEqual(yield* Effect.flatMap(openChains(Schema.String), (chains) => chains.getOrFail(1)), chain)
      const other = yield* Effect.flip(openChains(Schema.Number))
      assert.nestedInclude(other, { _tag: "CollectionFailed", "reason._tag": "ChangedSchema" })
    })))

  it.effect("with a schema whose parts each contain another part twice, forty levels deep", () =>
    inStore(Effect.gen(function*() {
      const deep = Array.from({ length: 40 }).reduce(twice, Schema.Int)
      const collection = yield* Collection.make("deep", { key: Schema.Int, value: deep })
      yield* collection.put(1, [[], [[]]])
      assert.deepStrictEqual(yield* collection.getOrFail(1), [[], [[]]])
    })))

  it.effect("with the methods of its class", () =>
    inStore(Effect.gen(function*() {
      const circles = yield* Collection.make("circles", { key: Schema.Int, value: Circle })
      yield* circles.put(1, new Circle({ radius: 1 }))
      assert.strictEqual((yield* circles.getOrFail(1)).area, Math.PI)
    })))

  it.effect("with a default for a field that was not stored", () =>
    inStore(Effect.gen(function*() {
      const withDefault = Schema.Struct({
        name: Schema.String,
        role: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("guest"), { encodingStrategy: "omit" }))
      })
      const collection = yield* Collection.make("roles", { key: Schema.Int, value: withDefault })
      yield* collection.put(1, { name: "Ada", role: "owner" })
      assert.deepStrictEqual(yield* collection.getOrFail(1), { name: "Ada", role: "guest" })
    })))

  it.effect.each<readonly [name: string, schema: Schema.Codec<unknown>, value: unknown]>([
    ["Float32Array", Schema.instanceOf(Float32Array), Float32Array.of(1.5, -2)],
    ["DataView", Schema.Struct({ a: Schema.instanceOf(DataView) }), { a: new DataView(new ArrayBuffer(3)) }],
    [
      "Float64Array of a length",
      Schema.instanceOf(Float64Array).check(Schema.makeFilter((a) => a.length === 2)),
      new Float64Array(2)
    ],
    ["Map", Schema.instanceOf(Map), new Map([["a", 1]])],
    ["typed array", Schema.declare((u): u is ArrayBufferView => ArrayBuffer.isView(u)), new Uint16Array(2)]
  ])("of a declared class that values keep: %s", ([, schema, value]) =>
    inStore(Effect.gen(function*() {
      const collection = yield* Collection.make("declared", { key: Schema.Int, value: schema })
      yield* collection.put(1, value)
      assert.deepStrictEqual(yield* collection.getOrFail(1), value)
    })))
})

describe("a declared schema without a codec is refused when the collection is made", () => {
  class Plain {
    readonly a = 1
  }
  const isPlain = (u: unknown): u is Plain => u instanceof Plain

  it.effect.each<readonly [place: string, schema: Schema.Codec<unknown>]>([
    ["it is a declared", Schema.instanceOf(Plain)],
    ["it is a declared", Schema.declare(isPlain)],
    ["\"a.b[]\" is a declared", Schema.Struct({ a: Schema.Struct({ b: Schema.Array(Schema.instanceOf(Plain)) }) })],
    ["\"a[1]\" is a declared", Schema.Struct({ a: Schema.Tuple([Schema.Int, Schema.NullOr(Schema.instanceOf(URL))]) })],
    [
      "\"vector\" (Float32Array) cannot be stored together with",
      Schema.Struct({ vector: Schema.instanceOf(Float32Array), nick: Schema.Option(Schema.String) })
    ]
  ])("%s", ([place, schema]) =>
    inStore(Effect.gen(function*() {
      const error = yield* Effect.flip(Collection.make("declared", { key: Schema.Int, value: schema }))
      assert.nestedInclude(error, { _tag: "CollectionFailed", "reason._tag": "BadDefinition" })
      assert.include(error.message, `its value: ${place}`)
      assert.include(error.message, "toCodecJson")
    })))

  it.effect("and is stored by its codec if it has one", () =>
    inStore(Effect.gen(function*() {
      const schema = Schema.instanceOf(URL, {
        toCodecJson: () =>
          Schema.link<URL>()(
            Schema.String,
            SchemaTransformation.transform({ decode: (text) => new URL(text), encode: (url) => url.href })
          )
      })
      const collection = yield* Collection.make("declared", { key: Schema.Int, value: schema })
      yield* collection.put(1, new URL("http://localhost/a"))
      assert.strictEqual((yield* collection.getOrFail(1)).href, "http://localhost/a")
    })))

  it.effect("different classes in values are distinguished", () =>
    inStore(Effect.gen(function*() {
      yield* Collection.make("declared", { key: Schema.Int, value: Schema.instanceOf(Float32Array) })
      const error = yield* Effect.flip(
        Collection.make("declared", { key: Schema.Int, value: Schema.instanceOf(Float64Array) })
      )
      assert.nestedInclude(error, { _tag: "CollectionFailed", "reason._tag": "ChangedSchema" })
    })))
})

/** What the schemas of a test need. */
class Cipher extends Context.Service<Cipher, { readonly encrypt: (text: string) => Effect.Effect<string> }>()(
  "Cipher"
) {}
class Decipher extends Context.Service<Decipher, { readonly decrypt: (text: string) => Effect.Effect<string> }>()(
  "Decipher"
) {}
class Names extends Context.Service<Names, { readonly toNumber: (name: string) => Effect.Effect<number> }>()("Names") {}

const reversed = (text: string) => Array.from(text).toReversed().join("")

const Secret = Schema.String.pipe(Schema.decodeTo(Schema.String, {
  decode: SchemaGetter.transformEffect((text: string) => Effect.flatMap(Decipher, ({ decrypt }) => decrypt(text))),
  encode: SchemaGetter.transformEffect((text: string) => Effect.flatMap(Cipher, ({ encrypt }) => encrypt(text)))
}))

/** A key that is a name to the program and a number to the store. */
const Named = Schema.Number.pipe(Schema.decodeTo(Schema.String, {
  decode: SchemaGetter.transform((number) => `n${number}`),
  encode: SchemaGetter.transformEffect((name: string) => Effect.flatMap(Names, ({ toNumber }) => toNumber(name)))
}))

/** Services that take their time, so that other fibers run in between. */
const slowly = <A>(value: A) => Effect.as(Effect.yieldNow, value)
const services = Context.make(Cipher, { encrypt: (text) => slowly(reversed(text)) }).pipe(
  Context.add(Decipher, { decrypt: (text) => slowly(reversed(text)) }),
  Context.add(Names, { toNumber: (name) => slowly(Number(name.slice(1))) })
)

const secretOptions = {
  key: Schema.Int,
  value: Secret,
  indexes: {
    byName: { key: Named, of: (secret: string) => secret.startsWith("n") ? secret : undefined }
  }
} as const

const secrets = Collection.make("secrets", secretOptions)

class Secrets extends Collection.Service<Secrets>()("secrets", secretOptions) {}

describe("a schema that needs services", () => {
  it.effect("has its services in the types of the methods: encoding to write, decoding to read", () =>
    inStore(Effect.gen(function*() {
      type Made = Effect.Success<typeof secrets>
      type Services<F extends (...args: never) => unknown> = Effect.Services<ReturnType<F>>
      expectTypeOf<Effect.Services<typeof secrets>>().toEqualTypeOf<Store | Decipher | Names>()
      expectTypeOf<Services<Made["put"]>>().toEqualTypeOf<Cipher | Names>()
      expectTypeOf<Services<Made["insert"]>>().toEqualTypeOf<Cipher | Names>()
      expectTypeOf<Services<Made["putMany"]>>().toEqualTypeOf<Cipher | Names>()
      expectTypeOf<Services<Made["update"]>>().toEqualTypeOf<Cipher | Decipher | Names>()
      expectTypeOf<Services<Made["get"]>>().toEqualTypeOf<Decipher>()
      expectTypeOf<Services<Made["getMany"]>>().toEqualTypeOf<Decipher>()
      expectTypeOf<Services<Made["first"]>>().toEqualTypeOf<Decipher>()
      expectTypeOf<Services<Made["has"]>>().toEqualTypeOf<never>()
      expectTypeOf<Services<Made["delete"]>>().toEqualTypeOf<never>()
      expectTypeOf<Services<Made["count"]>>().toEqualTypeOf<never>()
      expectTypeOf<Services<Made["indexes"]["byName"]["get"]>>().toEqualTypeOf<Decipher | Names>()
      expectTypeOf<Services<Made["indexes"]["byName"]["has"]>>().toEqualTypeOf<Names>()
      expectTypeOf<Effect.Services<Made["rebuildIndexes"]>>().toEqualTypeOf<Decipher | Names>()

      const collection = yield* Collection.make("plain", { key: Schema.Int, value: User })
      expectTypeOf(collection.get(1)).toEqualTypeOf<
        Effect.Effect<
          Option.Option<User>,
          | KeyEncoding
          | Closed
          | EngineFailure
          | ValueDecoding<number>
        >
      >()
      expectTypeOf(collection.put).parameters.toEqualTypeOf<
        [key: number, value: Collection.ValueInput<typeof User>, options?: WriteOptions | undefined]
      >()
    })))

  it.effect("encodes and decodes values, keys and index keys with its services", () =>
    inStore(
      Effect.gen(function*() {
        const collection = yield* secrets
        yield* collection.putMany([[1, "n10"], [2, "n9"]])
        yield* collection.insert(4, "secret")
        assert.strictEqual(yield* collection.getOrFail(4), "secret")
        assert.deepStrictEqual(yield* all(collection.values()), ["n10", "n9", "secret"])
        assert.deepStrictEqual(yield* all(collection.entries({ lte: 2 })), [[1, "n10"], [2, "n9"]])
        assert.strictEqual((yield* collection.getMany([2])).found.get(2), "n9")
        assert.deepStrictEqual(yield* all(collection.indexes.byName.values({ gte: "n9" })), ["n9", "n10"])
        assert.deepStrictEqual(yield* collection.indexes.byName.get("n10"), Option.some("n10"))
        assert.deepStrictEqual(yield* collection.verify, [])
      }).pipe(Effect.provideContext(services))
    ))

  it.effect("makes its services a requirement of the layer", () => {
    expectTypeOf<typeof Secrets.layer>().toExtend<
      Layer.Layer<Secrets, Collection.OpenError, Store | Decipher | Names>
    >()
    return Effect.void
  })

  it.effect("loses no update if it is asynchronous and other fibers write", () =>
    inStore(
      Effect.gen(function*() {
        const collection = yield* secrets
        yield* collection.put(1, "")
        yield* Effect.all(
          Array.from({ length: 100 }, () => collection.update(1, Option.map((text) => `${text}x`))),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(yield* collection.getOrFail(1), "x".repeat(100))
      }).pipe(Effect.provideContext(services))
    ))
})
