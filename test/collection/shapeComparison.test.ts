/** What a schema takes of what is stored, by the shapes of both. */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { isNative } from "../../src/internal/collection/schemaShape.ts"
import { covers, difference, widened } from "../../src/internal/collection/shapeComparison.ts"
import * as StoredShape from "../../src/internal/collection/storedShape.ts"
import { storedSchema } from "../../src/internal/collection/typedValueCodec.ts"
import { changed, type Plan, planOf, sampleOf, schemaOf } from "../support/fixtures/schemaPlans.ts"
import * as Random from "../torture/random.ts"

const shape = (schema: Schema.Constraint, key = "Number"): StoredShape.StoredShape => {
  const made = StoredShape.make(key, storedSchema(schema).ast)
  assert(made !== undefined, "the schema has too many parts")
  return made
}

const differenceOf = (stored: Schema.Constraint, wanted: Schema.Constraint) => difference(shape(stored), shape(wanted))

const seeds = { seed: Schema.Int }
const runs = { arbitrary: { runs: 500 } }

describe("when the shapes say that a schema accepts the stored values", () => {
  let accepted = 0

  it.prop("the schema decodes all values that earlier programs have stored", seeds, ({ seed }) => {
    const random = Random.make(seed).below
    let plan = planOf(random, 3)
    let stored = shape(schemaOf(plan))
    const values: Array<readonly [plan: Plan, encoded: unknown]> = []
    for (let program = 0; program < 5; program++) {
      const codec = storedSchema(schemaOf(plan))
      const wanted = shape(schemaOf(plan))
      if (difference(stored, wanted) === undefined) {
        if (program > 0) accepted++
        for (const [from, encoded] of values) {
          const decoded = Result.try(() => Schema.decodeUnknownSync(codec)(encoded))
          assert.isTrue(
            Result.isSuccess(decoded),
            `${JSON.stringify(encoded)} of ${JSON.stringify(from)} by ${JSON.stringify(plan)}`
          )
        }
        const next = widened(stored, wanted)
        assert(next !== undefined)
        // What is remembered has room for both, and stops neither the program itself nor one that wrote before.
        assert.isTrue(covers(next, stored) && covers(next, wanted))
        assert.strictEqual(difference(next, wanted), undefined)
        assert.deepStrictEqual(widened(next, wanted), next)
        stored = next
        for (let count = 0; count < 6; count++) {
          const value = sampleOf(plan, random)
          // A value that two members of a `oneOf` take cannot be written.
          const encoded = Result.try(() => Schema.encodeUnknownSync(codec)(value))
          if (Result.isSuccess(encoded)) values.push([plan, encoded.success])
        }
      }
      plan = random(4) === 0 ? planOf(random, 3) : changed(plan, random, 3)
    }
  }, runs)

  it("this case occurs often enough", () => {
    assert.isAbove(accepted, 150)
  })

  it.prop("this holds for every schema and its own values", seeds, ({ seed }) => {
    const random = Random.make(seed).below
    const plan = planOf(random, 4)
    assert.strictEqual(differenceOf(schemaOf(plan), schemaOf(plan)), undefined)
    const further = Schema.Struct({ plan: schemaOf(plan), more: Schema.optionalKey(schemaOf(planOf(random, 2))) })
    const before = Schema.Struct({ plan: schemaOf(plan) })
    // With a part that is stored as JSON, all parts are.
    if (isNative(before.ast) === isNative(further.ast)) {
      assert.strictEqual(differenceOf(before, further), undefined)
    }
  }, runs)
})

const Nick = Schema.Struct({ name: Schema.String, nick: Schema.optionalKey(Schema.String) })
const Name = Schema.Struct({ name: Schema.String })
const Circle = Schema.Struct({ tag: Schema.Literal("circle"), radius: Schema.Number })
const Square = Schema.Struct({ tag: Schema.Literal("square"), side: Schema.Number })

interface List {
  readonly head: string
  readonly tail: List | null
}
const List: Schema.Codec<List> = Schema.Struct({
  head: Schema.String,
  tail: Schema.NullOr(Schema.suspend((): Schema.Codec<List> => List))
})
interface NumberedList {
  readonly head: string
  readonly number?: number
  readonly tail: NumberedList | null
}
const NumberedList: Schema.Codec<NumberedList> = Schema.Struct({
  head: Schema.String,
  number: Schema.optionalKey(Schema.Number),
  tail: Schema.NullOr(Schema.suspend((): Schema.Codec<NumberedList> => NumberedList))
})

describe("a schema accepts the stored values", () => {
  it.each<readonly [name: string, stored: Schema.Constraint, wanted: Schema.Constraint]>([
    ["with an added optional field", Name, Nick],
    ["with a field left out", Nick, Name],
    ["with a field that may be missing now", Name, Schema.Struct({ name: Schema.optionalKey(Schema.String) })],
    ["with a further member of a union", Schema.Union([Circle]), Schema.Union([Square, Circle])],
    ["with a further literal", Schema.Literals(["a", "b"]), Schema.Literals(["c", "b", "a"])],
    ["with a literal that may be any text now", Schema.Literals(["a", "b"]), Schema.String],
    ["without a check that it had", Schema.NonEmptyString, Schema.String],
    ["with anything", Nick, Schema.Unknown],
    ["with a further field in a recursive schema", List, NumberedList],
    ["with a field left out of a recursive schema", NumberedList, List],
    ["with a field among other fields", Name, Schema.Record(Schema.String, Schema.String)],
    ["with a class", Name, class Person extends Schema.Class<Person>("Person")({ name: Schema.String }) {}]
  ])("%s", (_, stored, wanted) => {
    assert.strictEqual(differenceOf(stored, wanted), undefined)
  })
})

const Address = (zip: Schema.Constraint) => Schema.Struct({ address: Schema.Struct({ zip }) })

describe("a difference is named", () => {
  it.each<readonly [message: string, stored: Schema.Constraint, wanted: Schema.Constraint]>([
    ["field `nick` was added without a default", Name, Schema.Struct({ name: Schema.String, nick: Schema.String })],
    [
      "field `nick` is required, but values without it may be stored",
      Nick,
      Schema.Struct({ name: Schema.String, nick: Schema.String })
    ],
    [
      "field `address.zip` does not accept values that may be stored: String",
      Address(Schema.String),
      Address(Schema.Number)
    ],
    ["does not accept values that may be stored: \"b\"", Schema.Literals(["a", "b"]), Schema.Literals(["a"])],
    [
      "field `name` has a check that stored values may not pass (isMinLength",
      Name,
      Schema.Struct({ name: Schema.NonEmptyString, nick: Schema.optionalKey(Schema.String) })
    ],
    ["field `[].name` does not accept", Schema.Array(Name), Schema.Array(Schema.Struct({ name: Schema.Date }))],
    [
      "field `side` was added without a default",
      Schema.Union([Circle, Schema.Struct({ tag: Schema.Literal("square") })]),
      Schema.Union([Circle, Square])
    ],
    // What a `Record` has stored may have the name of any field
    [
      "field `nick` does not accept values",
      Schema.Record(Schema.String, Schema.Number),
      Schema.Struct({ nick: Schema.optionalKey(Schema.String) })
    ]
  ])("%s", (message, stored, wanted) => {
    assert.include(differenceOf(stored, wanted), message)
  })

  it("for keys too", () => {
    assert.include(difference(shape(Name, "Number"), shape(Name, "String")), "keys")
  })
})

describe("the shape of the stored values", () => {
  it("is read from the catalog unchanged", () => {
    const made = shape(Schema.Struct({ list: NumberedList, at: Schema.Date, tags: Schema.ReadonlySet(Schema.String) }))
    assert.deepStrictEqual(StoredShape.decode(JSON.parse(JSON.stringify(made))), StoredShape.decode(made))
  })

  it("is not known if a schema has very many parts", () => {
    const fields = Array.from(
      { length: 1100 },
      (_, index) => [`f${index}`, Schema.String.check(Schema.isMinLength(index))]
    )
    assert.strictEqual(StoredShape.make("", Schema.Struct(Object.fromEntries(fields)).ast), undefined)
  })
})
