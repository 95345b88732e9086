/** What `of` and `each` of an index may give, and what they may not. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Collection } from "../../src/index.ts"
import { all, inStore } from "../support/fixtures/collections.ts"

const Issue = Schema.Struct({
  project: Schema.String,
  status: Schema.Literals(["open", "closed"]),
  assignee: Schema.Option(Schema.String),
  tags: Schema.optional(Schema.Array(Schema.String))
})

type Issue = typeof Issue.Type

const Pair = Schema.Tuple([Schema.String, Schema.String])

const issue = (fields: Partial<Issue> = {}): Issue => ({
  project: "A",
  status: "open",
  assignee: Option.none(),
  tags: [],
  ...fields
})

/** A value as a program without types passes it. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the place that it is passed to says what it is
const untyped = <A>(given: unknown): A => {
  const isAnything = (value: unknown): value is A => value === given
  return isAnything(given) ? given : assert.fail("it is itself")
}

describe("an index by of", () => {
  it.effect("takes the elements of a compound key unchanged", () =>
    inStore(Effect.gen(function*() {
      const issues = yield* Collection.make("issues", {
        key: Schema.Int,
        value: Issue,
        indexes: { byStatus: { key: Pair, of: ({ project, status }) => [project, status] } }
      })
      yield* issues.putMany([[1, issue({ status: "open" })], [2, issue({ status: "closed" })], [3, issue()]])
      const { byStatus } = issues.indexes
      assert.deepStrictEqual(yield* all(byStatus.keys({ equals: ["A", "open"] })), [1, 3])
      assert.deepStrictEqual(yield* all(byStatus.keys({ prefix: ["A"] })), [2, 1, 3])
      assert.deepStrictEqual(yield* issues.verify, [])
    })))

  it.effect("takes an Option, and has no entry for a record whose key is None or undefined", () =>
    inStore(Effect.gen(function*() {
      const issues = yield* Collection.make("issues", {
        key: Schema.Int,
        value: Issue,
        indexes: {
          byAssignee: { key: Schema.String, of: ({ assignee }) => assignee, unique: true },
          byOther: {
            key: Pair,
            of: ({ assignee, project }) => Option.map(assignee, (name) => [name, project] as const)
          },
          byOpen: { key: Schema.String, of: ({ project, status }) => status === "open" ? project : undefined }
        }
      })
      yield* issues.putMany([[1, issue({ assignee: Option.some("ada") })], [2, issue()], [
        3,
        issue({ status: "closed" })
      ]])
      const { byAssignee, byOpen, byOther } = issues.indexes
      assert.deepStrictEqual(yield* all(byAssignee.keys()), [1])
      assert.deepStrictEqual(yield* all(byOther.keys({ equals: ["ada", "A"] })), [1])
      assert.deepStrictEqual(yield* all(byOpen.keys()), [1, 2])
      yield* issues.put(1, issue())
      assert.deepStrictEqual([yield* byAssignee.count(), yield* byOther.count()], [0, 0])
    })))

  it.effect("takes an array as one key if the schema is an array", () =>
    inStore(Effect.gen(function*() {
      const paths = yield* Collection.make("paths", {
        key: Schema.Int,
        value: Schema.Array(Schema.String),
        indexes: { byPath: { key: Schema.Array(Schema.String), of: (path) => path } }
      })
      yield* paths.put(1, ["a", "b"])
      assert.deepStrictEqual(yield* all(paths.indexes.byPath.keys({ equals: ["a", "b"] })), [1])
      const error = yield* Effect.flip(paths.put(2, []))
      assert.include(error.message, "an empty array is not a key; for no key give undefined or Option.none()")
      assert.isFalse(yield* paths.has(2))
    })))

  it.effect("refuses several keys and names the function for several keys", () =>
    inStore(Effect.gen(function*() {
      const advice = "`of` gives one key of a record; for several keys use `each` instead."
      const tags = yield* Collection.make("tags", {
        key: Schema.Int,
        value: Issue,
        indexes: { byTag: { key: Schema.String, of: (value) => untyped<string>(value.tags) } }
      })
      for (const wrong of [["a", "b"], []]) {
        const error = yield* Effect.flip(tags.put(1, issue({ tags: wrong })))
        assert.nestedInclude(error, { _tag: "KeyEncoding", "reason._tag": "Schema", collection: "tags.byTag" })
        assert.include(error.message, advice)
      }
      const doubled = yield* Collection.make("doubled", {
        key: Schema.Int,
        value: Issue,
        indexes: {
          byStatus: { key: Pair, of: ({ project, status }) => untyped<readonly [string, string]>([[project, status]]) }
        }
      })
      assert.include((yield* Effect.flip(doubled.put(1, issue()))).message, advice)
      assert.deepStrictEqual([yield* tags.size, yield* doubled.size], [0, 0])
    })))
})

describe("an index by each", () => {
  it.effect("has one entry for each key of a record", () =>
    inStore(Effect.gen(function*() {
      const issues = yield* Collection.make("issues", {
        key: Schema.Int,
        value: Issue,
        indexes: {
          byTag: { key: Schema.String, each: ({ tags }) => tags },
          byPair: { key: Pair, each: ({ project, tags = [] }) => tags.map((tag) => [project, tag] as const) }
        }
      })
      yield* issues.putMany([[1, issue({ tags: ["x", "y", "x"] })], [2, issue({ tags: ["y"] })], [
        3,
        issue({ tags: undefined })
      ]])
      const { byPair, byTag } = issues.indexes
      assert.deepStrictEqual(yield* all(byTag.keys()), [1, 1, 2])
      assert.deepStrictEqual(yield* all(byTag.keys({ equals: "y" })), [1, 2])
      assert.deepStrictEqual(yield* all(byPair.keys({ equals: ["A", "y"] })), [1, 2])
    })))

  it.effect("refuses a value that is not an array and names the function for one key", () =>
    inStore(Effect.gen(function*() {
      const issues = yield* Collection.make("issues", {
        key: Schema.Int,
        value: Issue,
        indexes: { byProject: { key: Schema.String, each: ({ project }) => untyped<ReadonlyArray<string>>(project) } }
      })
      const error = yield* Effect.flip(issues.put(1, issue()))
      assert.nestedInclude(error, { _tag: "KeyEncoding", "reason._tag": "Schema", collection: "issues.byProject" })
      assert.include(
        error.message,
        "`each` must give an array of keys, or undefined; for one key use `of` instead"
      )
    })))
})

describe("the definition of an index", () => {
  it.effect("has exactly one of the two functions", () =>
    inStore(Effect.gen(function*() {
      const text = Schema.String
      for (
        const [index, detail] of [
          [{ key: text, of: () => "a", each: () => ["a"] }, `its index "a" has both "of" and "each"`],
          [{ key: text }, `"of" of its index "a" must be a function; if a record has several keys, give "each"`],
          [{ key: text, each: "tags" }, `"each" of its index "a" must be a function`],
          [{ key: text, eech: () => ["a"], of: () => "a" }, `its index "a" has no option "eech"; did you mean each?`]
        ] as const
      ) {
        const made = Collection.make(
          "a",
          untyped<{ readonly key: typeof text; readonly value: typeof text }>({
            key: text,
            value: text,
            indexes: { a: index }
          })
        )
        assert.include((yield* Effect.flip(made)).message, detail)
      }
    })))

  it("does not compile if it returns several keys as one, or one key as several", () => {
    const options = { key: Schema.Int, value: Issue }
    const made = [
      Collection.make("a", {
        ...options,
        // @ts-expect-error `of` gives one key: for several keys of a record give `each` in its place
        indexes: { byTag: { key: Schema.String, of: ({ tags = [] }) => tags } }
      }),
      Collection.make("a", {
        ...options,
        // @ts-expect-error [a, b] where it is compound
        indexes: { byStatus: { key: Pair, of: ({ project, status }) => [[project, status]] } }
      }),
      Collection.make("a", {
        ...options,
        // @ts-expect-error a key is no array of keys
        indexes: { byProject: { key: Schema.String, each: ({ project }) => project } }
      }),
      Collection.make("a", {
        ...options,
        // @ts-expect-error one of both
        indexes: { byProject: { key: Schema.String, of: () => "a", each: () => ["a"] } }
      }),
      Collection.make("a", {
        ...options,
        // @ts-expect-error one of both
        indexes: { byProject: { key: Schema.String } }
      })
    ]
    assert.lengthOf(made, 5)
  })
})
