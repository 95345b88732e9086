/** Values whose records are written by shared structures: they come back like all other values. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { deepStrictEqual } from "node:assert"
import { spawnSync } from "node:child_process"
import * as process from "node:process"
import { fileURLToPath } from "node:url"
import { maximumDepth } from "../../src/internal/value/messagePack.ts"
import * as RecordStructures from "../../src/internal/value/recordStructures.ts"
import * as ValueCodec from "../../src/internal/value/valueCodec.ts"

type Names = RecordStructures.Structure

/** The first byte of a value with records of structures, and of one without. */
const structured = 5
const plain = 1

/** A codec with the structures that are defined. */
const withDefined = (defined: ReadonlyArray<Names> = []) => {
  const structures = RecordStructures.make(defined)
  return { codec: ValueCodec.make({ structures }), structures }
}

const encode = (codec: ValueCodec.Codec, value: unknown): Uint8Array =>
  Result.getOrThrow(ValueCodec.encode(codec, value))

const decode = (codec: ValueCodec.Codec, bytes: Uint8Array): unknown =>
  Result.getOrThrow(ValueCodec.decode(codec, bytes))

const times = <A>(count: number, make: (index: number) => A): ReadonlyArray<A> =>
  Array.from({ length: count }, (_, i) => make(i))

const recordOf = (names: Names, value: (index: number) => unknown = (index) => index): Record<string, unknown> =>
  Object.fromEntries(names.map((name, index) => [name, value(index)]))

/** Structures that no record here has, before those in question. */
const others = (count: number): ReadonlyArray<Names> => times(count, (index) => [`other ${index}`])

/** The names of all records in a value of JSON. */
const structuresOf = (value: Schema.Json): ReadonlyArray<Names> => {
  if (typeof value !== "object" || value === null) return []
  if (Array.isArray(value)) return value.flatMap(structuresOf)
  const names = Object.keys(value)
  const inside = Object.values(value).flatMap(structuresOf)
  return RecordStructures.isStructure(names) ? [names, ...inside] : inside
}

/** Encodes a value so often that the structures of its records become candidates, if they can. */
const encodeMany = (codec: ValueCodec.Codec, value: unknown): void => {
  for (let count = 0; count < 2000; count++) encode(codec, value)
}

/** A record in a record, and so on, and its bytes where the structure of all has the first number. */
const nested = (levels: number): unknown => levels === 0 ? 7 : { a: nested(levels - 1) }
const nestedBytes = (levels: number) => Uint8Array.of(structured, ...times(levels, () => 0x40), 7)

describe("a value with records of known structures", () => {
  it.effect.prop("is read back equal, with any numbers of its structures", {
    given: Schema.Json,
    before: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 }))
  }, ({ before, given }) =>
    Effect.sync(() => {
      // Some of its records have no prototype
      const value = structuredClone(given)
      const { codec } = withDefined([...others(before), ...structuresOf(value)])
      const bytes = encode(codec, value)
      // More than once: after some reads msgpackr compiles a reader.
      for (let read = 0; read < 5; read++) deepStrictEqual(decode(codec, bytes), value)
      if (bytes[0] === structured) {
        assert.isAtMost(bytes.length, encode(ValueCodec.make(), value).length + 64)
      }
    }), { arbitrary: { runs: 400 } })

  it("does not contain the names of the fields", () => {
    const { codec } = withDefined([["id", "name"]])
    const bytes = encode(codec, { id: 1, name: "a" })
    assert.deepStrictEqual([...bytes], [structured, 0x40, 1, 0xa1, 0x61])
    assert.strictEqual(encode(codec, { name: "a", id: 1 })[0], plain, "another order is another structure")
    assert.strictEqual(encode(codec, { id: 1 })[0], plain)
    assert.strictEqual(encode(codec, { id: 1, name: "a", more: 1 })[0], plain)
  })

  it("has the number of the structure in one byte, and from 32 on in two", () => {
    const names = times(200, (index) => [`field ${index}`])
    const { codec } = withDefined(names)
    for (const [number, [name = ""]] of names.entries()) {
      const bytes = encode(codec, { [name]: null })
      const expected = number < 32 ? [0x40 + number] : [0x60 + number % 32, Math.floor((number - 32) / 32)]
      assert.deepStrictEqual([...bytes], [structured, ...expected, 0xc0])
      for (let read = 0; read < 5; read++) assert.deepStrictEqual(decode(codec, bytes), { [name]: null })
    }
  })

  it("encodes numbers whose bytes would mean structures", () => {
    const { codec } = withDefined([["a"], ["b", "c"]])
    const numbers = times(300, (index) => index - 100)
    const value = { a: [numbers, { b: 64, c: 127 }, { d: 64, e: { a: 100 } }], z: 65 }
    for (let read = 0; read < 5; read++) assert.deepStrictEqual(decode(codec, encode(codec, value)), value)
    for (const number of numbers) {
      const bytes = encode(codec, number)
      assert.strictEqual(bytes[0], plain)
      assert.strictEqual(decode(codec, bytes), number)
      assert.strictEqual(decode(ValueCodec.make(), bytes), number)
      assert.deepStrictEqual(decode(codec, encode(codec, { a: number })), { a: number })
    }
  })

  it("may have any names except __proto__", () => {
    const odd = [
      "",
      "0",
      "constructor",
      "toString",
      "with space",
      "\"quoted\"",
      "`${1}`",
      "});process.exit(1);({",
      "\u2028",
      "Å",
      "\ud800",
      "\ufeff",
      "default",
      "r"
    ]
    const names: ReadonlyArray<Names> = [...odd.map((name) => [name]), ["a", ...odd.slice(2)]]
    const { codec } = withDefined(names)
    for (const each of names) {
      const value = recordOf(each)
      const bytes = encode(codec, value)
      assert.strictEqual(bytes[0], structured, JSON.stringify(each))
      for (let read = 0; read < 5; read++) deepStrictEqual(decode(codec, bytes), value)
    }
    const withProto: unknown = JSON.parse("{\"__proto__\":{\"a\":1}}")
    deepStrictEqual(decode(codec, encode(codec, withProto)), withProto)
  })

  it("is also read if code generation from text is disabled", () => {
    const program = fileURLToPath(new URL("../programs/withoutCode.ts", import.meta.url))
    const { stderr, stdout } = spawnSync(process.execPath, ["--disallow-code-generation-from-strings", program], {
      encoding: "utf8"
    })
    assert.strictEqual(stderr, "")
    assert.deepStrictEqual(JSON.parse(stdout), {
      isRefused: true,
      format: structured,
      value: { id: 1, list: [{ id: 2, list: null }, { other: 3 }] }
    })
  })

  it("has the state after its getters have run", () => {
    const { codec } = withDefined([["a", "b"], ["a", "b", "c"]])
    const shrinking = {
      get a() {
        Reflect.deleteProperty(this, "b")
        return 1
      },
      b: 2
    }
    assert.deepStrictEqual(decode(codec, encode(codec, shrinking)), { a: 1 })
    const exchanging: Record<string, unknown> = {
      get a() {
        Reflect.deleteProperty(this, "b")
        Object.assign(this, { c: 3 })
        return 1
      },
      b: 2
    }
    assert.deepStrictEqual(decode(codec, encode(codec, exchanging)), { a: 1, c: 3 })
  })

  it("may have a getter that adds structures", () => {
    const { codec, structures } = withDefined()
    const value = {
      small: 100,
      get late() {
        RecordStructures.add(structures, ["x"])
        return { x: 100 }
      }
    }
    assert.deepStrictEqual(decode(codec, encode(codec, value)), { small: 100, late: { x: 100 } })
    assert.strictEqual(encode(codec, { x: 1 })[0], structured)
  })

  it("contains a graph if one is necessary", () => {
    const { codec } = withDefined([["a", "b"]])
    const shared = { a: 1, b: new Map([[1, { a: 1, b: 2 }]]) }
    const value = { a: shared, b: shared }
    const back = decode(codec, encode(codec, value))
    deepStrictEqual(back, value)
    assert.notStrictEqual(encode(codec, value)[0], structured)
  })

  it("accepts as many levels as are written, and no more", () => {
    const { codec } = withDefined([["a"]])
    deepStrictEqual(decode(codec, nestedBytes(maximumDepth)), nested(maximumDepth))
    assert.deepStrictEqual([...encode(codec, nested(maximumDepth))], [...nestedBytes(maximumDepth)])
    for (const levels of [maximumDepth + 1, 10_000]) {
      assert.isTrue(Result.isFailure(ValueCodec.decode(codec, nestedBytes(levels))))
    }
  })

  it("decodes to a failure if its bytes are truncated or changed", () => {
    const { codec } = withDefined([["a", "b"], ["c"]])
    const bytes = encode(codec, { a: [{ c: "text" }, { c: 1.5 }], b: { d: { a: 1, b: 2 } } })
    assert.strictEqual(bytes[0], structured)
    for (let length = 0; length < bytes.length; length++) {
      assert.isTrue(Result.isFailure(ValueCodec.decode(codec, bytes.slice(0, length))), `${length} bytes`)
    }
    for (let at = 1; at < bytes.length; at++) {
      for (let byte = 0; byte < 256; byte++) {
        // It may be another value; it is never thrown.
        ValueCodec.decode(codec, Uint8Array.from(bytes.with(at, byte)))
      }
    }
    deepStrictEqual(decode(codec, bytes), { a: [{ c: "text" }, { c: 1.5 }], b: { d: { a: 1, b: 2 } } })
  })
})

describe("a structure that is not known", () => {
  it("ends the decoding with its number, and the value decodes after it is added", () => {
    const { codec: writer } = withDefined([["a"], ["b", "c"]])
    const bytes = encode(writer, { b: 1, c: [{ a: 1 }] })
    const { codec, structures } = withDefined()
    for (const names of [["a"], ["b", "c"]]) {
      const failure = Result.getOrThrow(Result.flip(ValueCodec.decode(codec, bytes)))
      assert.include(failure, { _tag: "UnknownStructure", number: 1 })
      RecordStructures.add(structures, names)
    }
    assert.deepStrictEqual(decode(codec, bytes), { b: 1, c: [{ a: 1 }] })
  })

  it("leaves no partial value, at any position in the value", () => {
    const { codec: writer } = withDefined([["b", "c"], ["a"]])
    const bytes = encode(writer, { b: "first", c: [{ b: 1, c: 2 }, { a: 1 }] })
    const { codec, structures } = withDefined([["b", "c"]])
    for (let time = 0; time < 3; time++) {
      assert.include(Result.getOrThrow(Result.flip(ValueCodec.decode(codec, bytes))), {
        _tag: "UnknownStructure",
        number: 1
      })
      assert.deepStrictEqual(decode(codec, encode(codec, { b: 1, c: 2 })), { b: 1, c: 2 })
    }
    RecordStructures.add(structures, ["a"])
    assert.deepStrictEqual(decode(codec, bytes), { b: "first", c: [{ b: 1, c: 2 }, { a: 1 }] })
  })

  it("makes the decoding fail if no process has defined it", () => {
    const { codec: writer } = withDefined([["a"], ["b"]])
    const { codec } = withDefined([["a"]])
    const failure = Result.getOrThrow(Result.flip(ValueCodec.decode(codec, encode(writer, { b: 1 }))))
    assert.match(failure.detail, /structure/)
    assert.deepStrictEqual(decode(codec, encode(writer, { a: 1 })), { a: 1 })
  })

  it("because its definition is damaged does not affect others", () => {
    const { codec: writer } = withDefined([["a"], ["b"]])
    const { codec } = withDefined([[], ["b"]])
    assert.isTrue(Result.isFailure(ValueCodec.decode(codec, encode(writer, { a: 1 }))))
    assert.deepStrictEqual(decode(codec, encode(writer, { b: 1 })), { b: 1 })
    assert.deepStrictEqual([...encode(codec, {})], [plain, 0x80])
    assert.deepStrictEqual(decode(codec, encode(codec, { a: 1 })), { a: 1 })
  })
})

describe("a structure becomes a candidate", () => {
  it("once, if many records have it", () => {
    const { codec, structures } = withDefined()
    encode(codec, { id: 0, name: "" })
    assert.deepStrictEqual(structures.candidates, [])
    encodeMany(codec, { id: 1, name: "a" })
    assert.deepStrictEqual(structures.candidates, [["id", "name"]])
  })

  it("also inside other records and arrays", () => {
    const { codec, structures } = withDefined()
    encodeMany(codec, { list: [{ x: 1, y: 2 }, { x: 3, y: 4 }], inner: { deep: { z: 1 } } })
    assert.sameDeepMembers(structures.candidates, [["list", "inner"], ["x", "y"], ["deep"], ["z"]])
  })

  it("but not if it is known, empty, a table or has long names", () => {
    const { codec, structures } = withDefined([["id"]])
    encodeMany(codec, { id: 1 })
    encodeMany(codec, {})
    encodeMany(codec, recordOf(times(65, (index) => `field ${index}`)))
    encodeMany(codec, { ["x".repeat(1025)]: 1 })
    assert.deepStrictEqual(structures.candidates, [])
    encodeMany(codec, recordOf(times(64, (index) => `field ${index}`)))
    encodeMany(codec, { ["x".repeat(1024)]: 1 })
    assert.strictEqual(structures.candidates.length, 2)
  })

  it("also after thousands of records without common fields", () => {
    const { codec, structures } = withDefined([["known"]])
    for (let index = 0; index < 100_000; index++) encode(codec, { [`user ${index}`]: 1, at: index })
    assert.deepStrictEqual(structures.candidates, [])
    assert.strictEqual(encode(codec, { known: 1 })[0], structured)
    for (let count = 0; count < 50_000; count++) encode(codec, { id: 1 })
    assert.deepStrictEqual(structures.candidates, [["id"]])
  })

  it("again, much later, if its definition failed", () => {
    const { codec, structures } = withDefined()
    encodeMany(codec, { id: 1 })
    RecordStructures.postpone(structures, ["id"], 100_000)
    encodeMany(codec, { id: 1 })
    assert.strictEqual(structures.candidates.length, 1)
    for (let count = 0; count < 2_000_000 && structures.candidates.length < 2; count++) encode(codec, { id: 1 })
    assert.deepStrictEqual(structures.candidates, [["id"], ["id"]])
  })

  it("but not if the maximum number of structures exists", () => {
    const { codec, structures } = withDefined(others(RecordStructures.mostStructures))
    encodeMany(codec, { id: 1 })
    assert.deepStrictEqual(structures.candidates, [])
    const last = { [`other ${RecordStructures.mostStructures - 1}`]: 1 }
    const bytes = encode(codec, last)
    assert.strictEqual(bytes.length, 4)
    assert.deepStrictEqual(decode(codec, bytes), last)
  })
})

describe("the names of a structure", () => {
  it("are distinct texts of a record that is written by its fields", () => {
    const many = times(64, (index) => `field ${index}`)
    for (const names of [["a"], ["", "0", "constructor"], many]) assert.isTrue(RecordStructures.isStructure(names))
    for (
      const none of [
        [],
        [...many, "one more"],
        ["a", "b", "a"],
        ["a", "__proto__"],
        ["a", 1],
        [null],
        "a",
        { 0: "a", length: 1 },
        undefined
      ]
    ) {
      assert.isFalse(RecordStructures.isStructure(none), JSON.stringify(none))
    }
  })
})

/** Observes records of one field each, and counts those whose names were asked for. */
const observing = () => {
  const structures = RecordStructures.make()
  let looks = 0
  let name: (() => string) | undefined
  const record = new Proxy({}, {
    ownKeys: () => {
      looks++
      return [name?.() ?? ""]
    },
    getOwnPropertyDescriptor: () => ({ configurable: true, enumerable: true, value: 1 })
  })
  const observe = (named: () => string): void => {
    name = named
    RecordStructures.observe(structures, record)
  }
  return { looks: () => looks, observe, structures }
}

describe("records are observed", () => {
  it("all at first, and then one of sixteen", () => {
    const { looks, observe, structures } = observing()
    for (let count = 0; count < 15; count++) observe(() => "first")
    assert.deepStrictEqual(structures.candidates, [])
    observe(() => "first")
    assert.deepStrictEqual(structures.candidates, [["first"]])
    for (let count = 16; count < 256; count++) observe(() => `other ${count}`)
    assert.strictEqual(looks(), 256)
    for (let count = 1; count < 241; count++) observe(() => "late")
    assert.deepStrictEqual(structures.candidates, [["first"]])
    observe(() => "late")
    assert.deepStrictEqual(structures.candidates, [["first"], ["late"]])
    assert.strictEqual(looks(), 256 + 16)
  })

  it("more and more rarely if they have no common fields, and few of their structures are kept", () => {
    const { looks, observe, structures } = observing()
    const looksAt = (count: number): number => {
      const before = looks()
      for (let index = 0; index < count; index++) {
        observe(() => `${count} ${index}`)
        if (index % 1000 === 0) assert.isAtMost(structures.root.next.size, 2049)
      }
      return count / (looks() - before)
    }
    // The pause doubles each time that 2,048 nodes gave no candidate.
    assert.approximately(looksAt(20_000), 16, 4)
    assert.approximately(looksAt(100_000), 40, 10)
    looksAt(4_000_000)
    assert.approximately(looksAt(500_000), 1024, 50)
  })
})
