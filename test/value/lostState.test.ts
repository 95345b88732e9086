/** What would come back empty, or as something else, is refused when it is put. */
import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Hash from "effect/Hash"
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import * as Layer from "effect/Layer"
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createSecretKey } from "node:crypto"
import { BlockList } from "node:net"
import { MIMEType } from "node:util"
import { runInNewContext, runInThisContext } from "node:vm"
import { Collection, Store } from "../../src/index.ts"
import * as ValueCodec from "../../src/internal/value/valueCodec.ts"

const codec = ValueCodec.make()

const detailOf = (value: unknown): string =>
  Result.match(ValueCodec.encode(codec, value), {
    onSuccess: () => "it was encoded",
    onFailure: ({ detail }) => detail
  })

const roundTrip = (value: unknown): unknown =>
  Result.getOrThrow(ValueCodec.decode(codec, Result.getOrThrow(ValueCodec.encode(codec, value))))

class TooPoor extends Data.TaggedError("TooPoor")<{ readonly account: string }> {}

class Broken extends Schema.TaggedError<Broken>()("Broken", { part: Schema.String }) {}

describe("a value of Effect is refused, and the error names its place and what to do", () => {
  it.each<readonly [schema: string, value: unknown]>([
    ["Option", Option.none()],
    ["Option", Option.some(36)],
    ["Result", Result.fail("no")],
    ["Cause", Cause.fail("no")],
    ["Redacted", Redacted.make("secret")],
    ["HashMap", HashMap.make(["a", 1])],
    ["HashSet", HashSet.make(1)],
    ["Chunk", Chunk.make(1)],
    ["Duration", Duration.seconds(1)],
    ["BigDecimal", BigDecimal.make(1n, 1)]
  ])("a value that a collection keeps: %s", (schema, value) => {
    const article = /^[AEIO]/.test(schema) ? "an" : "a"
    assert.strictEqual(
      detailOf({ user: { nick: [0, value] } }),
      `it has ${article} ${schema} of Effect at user.nick[1]: use a Collection with Schema.${schema}, ` +
        "or put a plain value in its place"
    )
  })

  it("times", () => {
    assert.include(
      detailOf(DateTime.makeUnsafe(0)),
      "it is a DateTime of Effect: use a Collection with Schema.DateTimeUtc"
    )
    assert.include(detailOf([DateTime.makeZonedUnsafe(0, { timeZone: "UTC" })]), "it has a DateTime of Effect at [0]")
  })

  it.each<readonly [name: string, value: unknown]>([
    ["a Stream", Stream.make(1)],
    ["a Layer", Layer.empty],
    ["a Ref", Ref.makeUnsafe(1)],
    ["a Deferred", Deferred.makeUnsafe()],
    ["a Queue", Effect.runSync(Queue.unbounded())],
    ["a Context", Context.empty()],
    ["a Schedule", Schedule.recurs(1)],
    ["a Config", Config.String("A")],
    ["a MutableHashMap", MutableHashMap.make(["a", 1])]
  ])("a value that is not data: %s", (name, value) => {
    assert.strictEqual(detailOf({ a: value }), `it has ${name} of Effect at a: put a plain value in its place`)
  })

  it("an effect that was not run", () => {
    assert.include(detailOf(Exit.fail("no")), "for an Exit use a Collection with Schema.Exit")
    assert.strictEqual(
      detailOf({ a: Effect.sync(() => 1) }),
      "it has an Effect that was not run (is yield* missing?) at a: run it, and put its result"
    )
    assert.strictEqual(
      detailOf(Effect.succeed(1)),
      "it is an Effect that was not run (is yield* missing?): run it, and put its result; " +
        "for an Exit use a Collection with Schema.Exit"
    )
  })

  it("the error names a replacement", () => {
    assert.include(detailOf({ a: new URL("http://localhost") }), "it has a URL at a: store url.href")
    assert.include(detailOf({ a: Promise.resolve(1) }), "it has a Promise at a: wait for it first")
    assert.include(detailOf({ a: () => 1 }), "it has a function at a: store its name")
  })

  it.each<readonly [name: string, error: Error]>([
    ["TooPoor", new TooPoor({ account: "ada" })],
    ["Broken", new Broken({ part: "wheel" })],
    ["NoSuchElementError", new Cause.NoSuchElementError("none")]
  ])("an error, which would lose its fields: %s", (name, error) => {
    assert.include(
      detailOf({ error }),
      `it has an error of Effect (${name}) at error: it would come back without its fields`
    )
    assert.include(detailOf(new Error("outer", { cause: error })), `error of Effect (${name}) at cause`)
  })

  it("one of another copy of Effect, and of version 3", () => {
    class Right {
      readonly right = 1
      get [Symbol.for("effect/Either")](): object {
        return {}
      }
    }
    assert.include(detailOf({ third: new Right() }), "it has an Either of Effect at third")
  })

  it.effect("by put, update, putMany, in a transaction, and in an untyped collection", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const value = { nick: Option.none() }
      const things = yield* Collection.make("things", { key: Schema.Int, value: Schema.Unknown })
      const refused = [
        store.put("a", value),
        store.update("a", () => Option.some(value)),
        store.putMany([["b", 1], ["a", value]]),
        store.withTransaction(Effect.andThen(store.put("b", 1), store.put("a", value))),
        things.put(1, value),
        things.putMany([[1, value]])
      ]
      for (const effect of refused) {
        const error = yield* Effect.flip(
          Effect.asVoid<unknown, { readonly _tag: string; readonly message: string }, never>(effect)
        )
        assert.strictEqual(error._tag, "ValueEncoding")
        assert.include(error.message, "an Option of Effect at nick")
      }
      assert.strictEqual(yield* store.size, 0)
      assert.strictEqual(yield* things.size, 0)
    }).pipe(Effect.provide(Store.layerTemp())))
})

describe("an object with its fields as own properties is read as a plain object", () => {
  class Point extends Data.Class<{ readonly x: number }> {
    get double(): number {
      return 2 * this.x
    }
  }
  class User extends Schema.Class<User>("User")({ name: Schema.String }) {
    get loud(): string {
      return this.name.toUpperCase()
    }
  }
  class Version {
    readonly major = 1
    get [Symbol.toStringTag](): string {
      return "Version"
    }
    [Equal.symbol](): boolean {
      return true
    }
    [Hash.symbol](): number {
      return 1
    }
  }

  it("also an instance without fields, unless its class has methods or getters", () => {
    class Empty extends Data.Class {}
    class Shown {
      toString(): string {
        return "shown"
      }
    }
    const values = [new Empty(), new Shown(), Object.create(null)]
    assert.deepStrictEqual(roundTrip(values), values.map(() => ({})))
  })

  it("an instance of Data.Class, of Schema.Class, and of a class that implements Equal", () => {
    assert.deepStrictEqual(
      roundTrip([new Point({ x: 1 }), new User({ name: "Ada" }), new Version()]),
      [{ x: 1 }, { name: "Ada" }, { major: 1 }]
    )
  })
})

describe("an object with hidden state is refused", () => {
  class Hidden {
    readonly #x = 1
    get x(): number {
      return this.#x
    }
  }

  class Counter {
    #count = 0
    next(): number {
      return ++this.#count
    }
  }
  const names = new WeakMap<object, string>()
  class Named {
    constructor(name: string) {
      names.set(this, name)
    }
    greet(): string {
      return `Hello ${names.get(this)}`
    }
  }

  it.each<readonly [name: string, value: unknown]>([
    ["an AbortSignal", new AbortController().signal],
    ["a Headers", new Headers()],
    ["a KeyObject", createSecretKey(Buffer.alloc(8))],
    ["a FinalizationRegistry", new FinalizationRegistry(() => {})],
    ["a WebAssembly.Memory", runInThisContext("new WebAssembly.Memory({ initial: 1 })")],
    ["an Iterator Helper", runInThisContext("[1].values().map((n) => n)")],
    ["an instance of MIMEType", new MIMEType("a/b")],
    ["an instance of BlockList", new BlockList()],
    ["an instance of Hidden", new Hidden()],
    ["an instance of Counter", new Counter()],
    ["an instance of Named", new Named("Ada")]
  ])("%s", (name, value) => {
    assert.isTrue(detailOf({ a: [value] }).startsWith(`it has ${name} at a[0]`), detailOf({ a: [value] }))
  })

  it.each<readonly [name: string, code: string]>([
    ["a Promise", "Promise.resolve()"],
    ["a WeakMap", "new WeakMap()"],
    ["a WeakSet", "new WeakSet()"],
    ["a WeakRef", "new WeakRef({})"],
    ["a SharedArrayBuffer", "new SharedArrayBuffer(1)"],
    ["a Generator", "(function*() {})()"],
    ["an AsyncGenerator", "(async function*() {})()"],
    ["a Map Iterator", "new Map().keys()"],
    ["an Intl.NumberFormat", "new Intl.NumberFormat()"],
    ["an instance of A", "class A { get x() { return 1 } }; new A()"],
    ["an instance of A", "class A { #x = 1; x() { return this.#x } }; new A()"]
  ])("of another realm: %s", (name, code) => {
    const value: unknown = runInNewContext(code)
    assert.isTrue(detailOf({ a: value }).startsWith(`it has ${name} at a`))
  })
})

describe("objects of another realm are read back", () => {
  it("errors, as errors", () => {
    const copy = roundTrip(runInNewContext(`new TypeError("broken", { cause: new RangeError("deep") })`))
    assert.instanceOf(copy, TypeError)
    assert.strictEqual(copy.message, "broken")
    assert.include(copy.stack, "TypeError: broken")
    assert.instanceOf(copy.cause, RangeError)
  })

  it("plain objects, arrays, maps, sets, dates and instances with fields", () => {
    const code =
      `class A { x = 1; get y() { return 1 } }; [{}, { a: [1] }, new Map([[1, 2]]), new Set([1]), new Date(5), new A()]`
    assert.deepStrictEqual(
      roundTrip(runInNewContext(code)),
      [{}, { a: [1] }, new Map([[1, 2]]), new Set([1]), new Date(5), { x: 1 }]
    )
  })
})
