/** Pages of collections and indexes: exact with equal keys, in both directions, and while others write. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Collection, Store } from "../../src/index.ts"

const Issue = Schema.Struct({ project: Schema.String, status: Schema.Literals(["open", "done"]), title: Schema.String })

const definition = {
  key: Schema.Int,
  value: Issue,
  indexes: {
    project: { key: Schema.String, of: ({ project }: typeof Issue.Type) => project },
    title: { key: Schema.String, unique: true, of: ({ title }: typeof Issue.Type) => title },
    board: {
      key: Schema.Tuple([Schema.String, Schema.String, Schema.String]),
      of: ({ project, status, title }: typeof Issue.Type) => [project, status, title] as const
    }
  }
} as const

const open = Collection.make("issues", definition)

const inStore = <A, E>(effect: Effect.Effect<A, E, Store>) => Effect.provide(effect, Store.layerTemp())

const issue = (id: number) => ({
  project: id % 3 === 0 ? "ABC" : "XYZ",
  status: id % 2 === 0 ? "open" as const : "done" as const,
  title: `title ${String(id).padStart(3, "0")}`
})

const fill = Effect.fnUntraced(function*(count: number) {
  const issues = yield* open
  yield* issues.putMany(Array.from({ length: count }, (_, id) => [id, issue(id)] as const))
  return issues
})

/** Reads all pages, and runs an effect between them. */
const allPages = Effect.fnUntraced(function*<Item, E, R, E2, R2>(
  read: (
    after: string | undefined
  ) => Effect.Effect<{ readonly items: ReadonlyArray<Item>; readonly next: string | undefined }, E, R>,
  between: (page: number) => Effect.Effect<unknown, E2, R2>
) {
  const pages: Array<ReadonlyArray<Item>> = []
  let after: string | undefined
  do {
    const { items, next } = yield* read(after)
    pages.push(items)
    after = next
    yield* between(pages.length)
  } while (after !== undefined)
  return pages
})

const nothing = () => Effect.void

describe("pages of a collection", () => {
  it.effect("contain every record once, in both directions, and the last page has no next", () =>
    inStore(Effect.gen(function*() {
      const issues = yield* fill(25)
      const pages = yield* allPages((after) => issues.page({ limit: 10, after }), nothing)
      assert.deepStrictEqual(pages.map(({ length }) => length), [10, 10, 5])
      assert.deepStrictEqual(pages.flat().map(({ key }) => key), Array.from({ length: 25 }, (_, id) => id))
      assert.deepStrictEqual(pages[0]?.[3], { key: 3, value: issue(3) })
      const reversed = yield* allPages((after) => issues.page({ limit: 7, after, reverse: true, lt: 20 }), nothing)
      assert.deepStrictEqual(reversed.flat().map(({ key }) => key), Array.from({ length: 20 }, (_, id) => 19 - id))
      // A full last page is the last one.
      assert.strictEqual((yield* issues.page({ limit: 25 })).next, undefined)
      assert.deepStrictEqual(yield* issues.page({ limit: 5, gt: 100 }), { items: [], next: undefined })
    })))

  it.effect("read the writes of their transaction", () =>
    inStore(Effect.gen(function*() {
      const issues = yield* fill(5)
      const store = yield* Store
      const keys = yield* store.withTransaction(Effect.gen(function*() {
        yield* issues.put(2.5 * 2 + 1, issue(6))
        yield* issues.delete(1)
        const first = yield* issues.page({ limit: 3 })
        const second = yield* issues.page({ limit: 3, after: first.next })
        return [...first.items, ...second.items].map(({ key }) => key)
      }))
      assert.deepStrictEqual(keys, [0, 2, 3, 4, 6])
    })))
})

describe("pages of an index", () => {
  it.effect("contain every record once when many have equal keys", () =>
    inStore(Effect.gen(function*() {
      const issues = yield* fill(60)
      for (const reverse of [false, true]) {
        const pages = yield* allPages(
          (after) => issues.indexes.project.page({ equals: "ABC", limit: 6, after, reverse }),
          nothing
        )
        const ids = Array.from({ length: 20 }, (_, number) => 3 * number)
        assert.deepStrictEqual(pages.flat().map(({ key }) => key), reverse ? ids.toReversed() : ids)
        assert.deepStrictEqual(new Set(pages.flat().map(({ indexKey }) => indexKey)), new Set(["ABC"]))
      }
      const unique = yield* allPages((after) => issues.indexes.title.page({ limit: 13, after }), nothing)
      assert.deepStrictEqual(
        unique.flat().map(({ indexKey }) => indexKey),
        Array.from({ length: 60 }, (_, id) => issue(id).title)
      )
    })))

  it.effect("contain every unchanged record exactly once while other fibers write", () =>
    inStore(Effect.gen(function*() {
      const issues = yield* fill(120)
      const pages = yield* allPages(
        (after) => issues.indexes.project.page({ equals: "ABC", limit: 4, after, reverse: true }),
        // New records on both sides of the cursor, and the records that the last page ended with are deleted.
        (page) =>
          Effect.gen(function*() {
            yield* issues.put(1000 + 3 * page, { ...issue(1000 + page), project: "ABC" })
            yield* issues.put(-page, { ...issue(5000 + page), project: "ABC" })
            yield* issues.delete(119 - 12 * page)
            yield* issues.delete(117 - 12 * (page - 1) - 9)
          })
      )
      const keys = pages.flat().map(({ key }) => key)
      assert.strictEqual(new Set(keys).size, keys.length)
      const given = new Set(keys)
      for (let id = 0; id < 120; id += 3) {
        if (yield* issues.has(id)) assert.isTrue(given.has(id), `${id} stayed, and is on a page`)
      }
    })))

  it.effect("can start with the beginning of a text in a tuple", () =>
    inStore(Effect.gen(function*() {
      const issues = yield* fill(40)
      yield* issues.put(100, { project: "ABC", status: "open", title: "other" })
      const { board } = issues.indexes
      const { items } = yield* board.page({ startsWith: ["ABC", "open", "title 01"], limit: 100 })
      assert.deepStrictEqual(items.map(({ key }) => key), [12, 18])
      assert.deepStrictEqual(items[0]?.indexKey, ["ABC", "open", "title 012"])
      assert.strictEqual(yield* board.count({ startsWith: ["ABC", "o"] }), 8)
      assert.strictEqual(yield* board.count({ prefix: ["ABC", "o"] }), 0)
      assert.strictEqual(yield* board.count({ prefix: ["ABC", "open"], startsWith: ["ABC", "open", "t"] }), 7)
    })))
})

describe("a page", () => {
  it.effect("refuses a cursor of another range, and a limit that is not a positive whole number", () =>
    inStore(Effect.gen(function*() {
      const issues = yield* fill(5)
      const { next: after } = yield* issues.page({ limit: 2 })
      const refused = [
        issues.indexes.project.page({ limit: 2, after }),
        issues.page({ limit: 2, after, reverse: true }),
        issues.page({ limit: 2, after: "abc" }),
        issues.page({ limit: 2, after, gt: 3 }),
        issues.page({ limit: 0 }),
        issues.page({ limit: Infinity }),
        issues.page({ limit: 2.5 }),
        // @ts-expect-error it has no range
        issues.page(),
        // @ts-expect-error JavaScript can leave it out.
        issues.page({})
      ]
      const tags = yield* Effect.forEach(refused, (page) => Effect.map(Effect.flip(page), ({ _tag }) => _tag))
      assert.deepStrictEqual(tags, [
        "InvalidCursor",
        "InvalidCursor",
        "InvalidCursor",
        "InvalidCursor",
        "KeyEncoding",
        "KeyEncoding",
        "KeyEncoding",
        "KeyEncoding",
        "KeyEncoding"
      ])
      const message = yield* Effect.map(Effect.flip(issues.indexes.project.page({ limit: 2, after })), String)
      assert.include(message, "cursor of another collection")
      // A cursor comes from outside: the application answers it.
      const kept = yield* Effect.flip(Store.orDie(issues.page({ limit: 2, after: "abc" })))
      assert.strictEqual(kept._tag, "InvalidCursor")
    })))
})
