import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { deepStrictEqual } from "node:assert"
import * as KeyJson from "../../src/internal/key/keyJson.ts"
import { make } from "../../src/internal/key/orderedKeyCodec.ts"
import { fromBytes } from "../../src/Key.ts"
import { keyFromJson, keyToJson, valueFromJson, valueToJson } from "../../src/TaggedJson.ts"
import { Bytes, cases } from "../support/fixtures/orderedValues.ts"
import { randomValue, sameSharing } from "../support/fixtures/randomValues.ts"

const decodeText = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Json))

/** Through the text of a document. */
const textOf = (value: unknown): string => JSON.stringify(Result.getOrThrow(valueToJson(value)))

const valueOf = (text: string): unknown => Result.getOrThrow(valueFromJson(decodeText(text)))

const comesBack = (value: unknown, text?: string): void => {
  const written = textOf(value)
  if (text !== undefined) assert.strictEqual(written, text)
  const copy = valueOf(written)
  deepStrictEqual(copy, structuredClone(value))
  sameSharing(copy, structuredClone(value), new Map(), new Set())
}

const problemOf = (text: string): string => {
  const result = valueFromJson(decodeText(text))
  return Result.isFailure(result) ? result.failure.message : "it was converted"
}

describe("the JSON form of values", () => {
  it.prop("gives back any value", { seed: Schema.Int }, ({ seed }) => comesBack(randomValue(seed, false)), {
    arbitrary: { runs: 300 }
  })

  it.prop("gives back any value with shared references and cycles", { seed: Schema.Int }, ({ seed }) => {
    comesBack(randomValue(seed, true))
  }, { arbitrary: { runs: 300 } })

  it("is plain JSON where JSON can say it", () => {
    const text = `{"name":"Ada","age":36,"tags":["a",null,true,1.5],"nested":{"":{}}}`
    assert.strictEqual(textOf(decodeText(text)), text)
    comesBack(decodeText(text))
    comesBack("\ud800\ufeff\u0000", `"\\ud800\ufeff\\u0000"`)
  })

  it("has a tag for each kind that JSON lacks", () => {
    const documents: ReadonlyArray<readonly [unknown, string]> = [
      [undefined, `{"$undefined":true}`],
      [NaN, `{"$number":"NaN"}`],
      [-0, `{"$number":"-0"}`],
      [-Infinity, `{"$number":"-Infinity"}`],
      [12n, `{"$bigint":"12"}`],
      [new Date(0), `{"$date":"1970-01-01T00:00:00.000Z"}`],
      [new Map([["a", 1n]]), `{"$map":[["a",{"$bigint":"1"}]]}`],
      [new Set([1]), `{"$set":[1]}`],
      [Uint8Array.of(1, 2, 3), `{"$bytes":"AQID"}`],
      [Uint8Array.of(1).buffer, `{"$buffer":"AQ=="}`],
      [Int16Array.of(1), `{"$view":["Int16Array","AQA="]}`],
      [/a\/b/gi, `{"$regexp":["a\\\\/b","gi"]}`],
      [Object("s"), `{"$boxed":"s"}`],
      [Object.assign([1], { named: 2 }), `{"$sparse":[1,{"0":1,"named":2}]}`],
      [{ $date: 1, $$: 2 }, `{"$$date":1,"$$$":2}`]
    ]
    for (const [value, text] of documents) comesBack(value, text)
    const error = Object.assign(new TypeError("no", { cause: 1 }), { stack: "s" })
    comesBack(error, `{"$error":{"name":"TypeError","message":"no","stack":"s","cause":1}}`)
    assert.isTrue(Number.isNaN(Number(valueOf(textOf(new Date(NaN))))))
  })

  it("lists objects that are shared, and values nested to any depth", () => {
    const shared = { x: 1 }
    comesBack({ a: shared, b: [shared] }, `{"$graph":[{"a":{"$ref":1},"b":[{"$ref":1}]},{"x":1}]}`)
    const self: Array<unknown> = []
    self.push(self)
    assert.strictEqual(textOf(self), `{"$graph":[[{"$ref":0}]]}`)
    let deep: ReadonlyArray<unknown> = []
    for (let level = 0; level < 20_000; level++) deep = [deep]
    let copy = valueOf(textOf(deep))
    for (let level = 0; level < 20_000; level++) copy = Array.isArray(copy) ? copy[0] : undefined
    deepStrictEqual(copy, [])
  })

  it("takes what a person writes: times without milliseconds, errors without a stack, hexadecimal digits", () => {
    deepStrictEqual(valueOf(`{"$date":"2026-03-01"}`), new Date("2026-03-01T00:00:00Z"))
    deepStrictEqual(valueOf(`{"$date":"2026-03-01T12:00+01:00"}`), new Date("2026-03-01T11:00:00Z"))
    assert.strictEqual(valueOf(`{"$bigint":"-0xff"}`), -255n)
    assert.instanceOf(valueOf(`{"$error":{"name":"RangeError","message":"far"}}`), RangeError)
    assert.isTrue(Object.is(valueOf("-0"), -0))
  })

  it("refuses a document that is wrong, and says where", () => {
    const wrong: ReadonlyArray<readonly [text: string, problem: RegExp]> = [
      [`{"a":[1,{"$day":1}]}`, /at a\[1\]: there is no tag \$day; write \$\$day/],
      [`{"$date":1,"b":2}`, /the tag \$date has no other field/],
      [`{"$date":"yesterday"}`, /\$date must be a time/],
      [`{"$date":"2026-02-31T25:00Z"}`, /\$date must be a time/],
      [`{"$date":"2026-03-01T12:00:00"}`, /\$date must be a time/],
      [`{"$number":"1"}`, /\$number must be one of/],
      [`{"$bigint":"1.5"}`, /\$bigint must be text/],
      [`{"$undefined":null}`, /\$undefined must be true/],
      [`{"$bytes":"A"}`, /\$bytes must be text in Base64/],
      [`{"$bytes":7}`, /\$bytes must be text in Base64/],
      [`{"$buffer":null}`, /\$buffer must be/],
      [`{"$view":["Int16Array","AQ=="]}`, /multiple of 2/],
      [`{"$view":["Array","AQ=="]}`, /no Array/],
      [`{"$view":[]}`, /\$view must be an array of two texts/],
      [`{"$map":[[1]]}`, /\$map must be/],
      [`{"$set":{}}`, /\$set must be an array/],
      [`{"$regexp":["(",""]}`, /Invalid regular expression/],
      [`{"$regexp":"a"}`, /\$regexp must be/],
      [`{"$error":{"name":1}}`, /\$error must have/],
      [`{"$error":"no"}`, /\$error must have/],
      [`{"$error":{"code":1}}`, /\$error must have/],
      [`{"$sparse":[-1,{}]}`, /\$sparse must be/],
      [`{"$sparse":[1,{"1":1}]}`, /\$sparse has an element "1"/],
      [`{"$sparse":[1,{"length":1}]}`, /\$sparse has an element "length"/],
      [`{"$boxed":{}}`, /\$boxed must be/],
      [`{"$boxed":null}`, /\$boxed must be/],
      [`{"$ref":0}`, /\$ref must be the position/],
      [`{"$graph":[]}`, /\$graph must be/],
      [`{"$graph":[1]}`, /an element of \$graph/],
      [`{"$graph":[{"$ref":0}]}`, /\$ref must be the position/],
      [`{"$graph":[{"a":{"$ref":1}}]}`, /at \$graph\[0\]: \$ref must be the position/],
      [`{"a":{"$graph":[[]]}}`, /at a: there is no tag \$graph/]
    ]
    for (const [text, problem] of wrong) assert.match(problemOf(text), problem, text)
    const refused = valueToJson({ a: () => 1 })
    assert(Result.isFailure(refused))
    assert.match(refused.failure.message, /function at a/)
  })
})

const orderedFrom = (text: string) => KeyJson.orderedKeyFromJson(decodeText(text))

describe("the JSON form of keys", () => {
  for (const [name, schema, values] of cases) {
    const codec = Result.getOrThrowWith(make(schema), (problem) => new Error(problem))
    it.prop(`gives back ${name} without their schema`, { value: values }, ({ value }) => {
      const bytes = Result.getOrThrow(codec.encode(value))
      const text = JSON.stringify(keyToJson(value))
      deepStrictEqual(Result.getOrThrow(keyFromJson(decodeText(text))), value)
      assert.strictEqual(JSON.stringify(KeyJson.orderedKeyToJson(bytes)), text)
      assert.strictEqual(Result.getOrThrow(orderedFrom(text)), bytes)
    })
  }

  it.prop("gives back any bytes as the key of a store or of a collection", { bytes: Bytes }, ({ bytes }) => {
    const key = fromBytes(bytes)
    const text = JSON.stringify(KeyJson.storeKeyToJson(key))
    assert.strictEqual(Result.getOrThrow(KeyJson.storeKeyFromJson(decodeText(text))), key)
    assert.strictEqual(Result.getOrThrow(orderedFrom(JSON.stringify(KeyJson.orderedKeyToJson(key)))), key)
  })

  it("is readable", () => {
    assert.strictEqual(KeyJson.storeKeyToJson(fromBytes(Buffer.from("é"))), "é")
    deepStrictEqual(KeyJson.storeKeyToJson(fromBytes(Uint8Array.of(0xff))), { $bytes: "/w==" })
    deepStrictEqual(keyToJson(["FR", 1, [DateTime.makeUnsafe(0), 2n]]), [
      "FR",
      1,
      [{ $dateTime: "1970-01-01T00:00:00.000Z" }, { $bigint: "2" }]
    ])
  })

  it("refuses what has no order", () => {
    const deep = `${"[".repeat(2000)}${"]".repeat(2000)}`
    for (const text of ["null", "{}", `[{"a":1}]`, `{"$dateTime":null}`, `{"$key":1}`, deep]) {
      assert.isTrue(Result.isFailure(orderedFrom(text)), text)
      assert.isTrue(Result.isFailure(keyFromJson(decodeText(text))), text)
    }
    assert.isTrue(Result.isFailure(orderedFrom(`{"$number":"NaN"}`)))
    for (const text of ["1", `{"$date":"2026-03-01"}`, `"\\ud800"`]) {
      assert.isTrue(Result.isFailure(KeyJson.storeKeyFromJson(decodeText(text))), text)
    }
  })
})
