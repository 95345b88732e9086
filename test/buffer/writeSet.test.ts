/** A set of writes, against a plain map of each database. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { fromWrites, type PendingWrite, qualifiedKey, WriteSet } from "../../src/internal/buffer/writeSet.ts"
import { ByteString } from "../../src/Key.ts"

const databases = ["one", "two"] as const
const names = ["a", "b", "c", "dd"] as const

const Database = Schema.Literals(databases)
const Name = Schema.Literals(names)

const Step = Schema.Union([
  Schema.Struct({
    type: Schema.tag("set"),
    database: Database,
    name: Name,
    length: Schema.NullOr(Schema.Literals([0, 1, 5]))
  }),
  Schema.Struct({ type: Schema.tag("get"), database: Database, name: Name }),
  Schema.Struct({ type: Schema.tag("remove"), database: Database, name: Name }),
  Schema.Struct({ type: Schema.tag("removeAll"), database: Database }),
  Schema.Struct({ type: Schema.tag("clear"), database: Database })
])
type Step = typeof Step.Type

interface Model {
  readonly writes: Record<typeof Database.Type, Map<string, PendingWrite>>
  readonly cleared: Set<typeof Database.Type>
}

const emptyModel = (): Model => ({ writes: { one: new Map(), two: new Map() }, cleared: new Set() })

const apply = (step: Step, set: WriteSet, model: Model): void => {
  const writes = model.writes[step.database]
  switch (step.type) {
    case "set": {
      const write = step.length === null ? null : new Uint8Array(step.length)
      set.set(step.database, ByteString(step.name), write)
      return void writes.set(step.name, write)
    }
    case "get":
      return assert.strictEqual(set.get(step.database, ByteString(step.name)), writes.get(step.name))
    case "remove":
      set.remove(step.database, ByteString(step.name))
      return void writes.delete(step.name)
    case "removeAll":
      set.removeAll(step.database)
      return writes.clear()
    case "clear":
      set.clear(step.database)
      model.cleared.add(step.database)
      return writes.clear()
  }
}

const made = (steps: ReadonlyArray<Step>): readonly [WriteSet, Model] => {
  const set = new WriteSet()
  const model = emptyModel()
  for (const step of steps) apply(step, set, model)
  return [set, model]
}

const assertIs = (set: WriteSet, { cleared, writes }: Model): void => {
  const all = databases.flatMap((database) => [...writes[database]].map(([name, write]) => ({ database, name, write })))
  assert.strictEqual(set.size, all.length)
  assert.strictEqual(set.bytes, all.reduce((sum, { name, write }) => sum + name.length + (write?.length ?? 0), 0))
  assert.strictEqual(set.isEmpty, all.length === 0 && cleared.size === 0)
  assert.deepStrictEqual(set.cleared, cleared)
  const expected = all.map(({ database, name, write }) => [database, ByteString(name), write])
  assert.sameDeepMembers<unknown>([...set], expected)
  assert.sameDeepMembers<unknown>([...set.toArray()], expected)
  // To look for a write in the midst of all changes nothing.
  const found = Array.from(set, (write) => [...write.slice(0, 2), set.get(write[0], write[1])])
  assert.sameDeepMembers<unknown>(found, expected)
  assert.sameDeepMembers<unknown>([...set.toArray()], expected)
  for (const database of databases) {
    assert.strictEqual(set.isCleared(database), cleared.has(database))
    assert.deepStrictEqual<unknown>([...set.entriesOf(database)], [...writes[database]])
    const sorted = [...writes[database]].toSorted(([a], [b]) => a < b ? -1 : 1)
    assert.deepStrictEqual<unknown>(set.range(database, { from: undefined, to: undefined }), sorted)
    for (const name of names) {
      assert.strictEqual(set.get(database, ByteString(name)), writes[database].get(name))
      assert.strictEqual(
        set.touches(database, ByteString(name)),
        writes[database].has(name) || cleared.has(database)
      )
    }
  }
}

const arbitrary = { runs: 200, size: 20, seed: "writes" }

describe("a set of writes", () => {
  it.effect.prop(
    "has the latest write of each key, counts keys and bytes, and records cleared databases",
    { steps: Schema.Array(Step) },
    ({ steps }) =>
      Effect.sync(() => {
        const [set, model] = made(steps)
        assertIs(set, model)
        assert.deepStrictEqual([...fromWrites(set)], [...set])
      }),
    { arbitrary }
  )

  it.effect.prop(
    "adds the writes of another set after its own: a clear drops earlier writes",
    { earlier: Schema.Array(Step), later: Schema.Array(Step) },
    ({ earlier, later }) =>
      Effect.sync(() => {
        const [set, model] = made(earlier)
        const [other, { cleared, writes }] = made(later)
        for (const database of databases) {
          if (cleared.has(database)) apply({ type: "clear", database }, new WriteSet(), model)
          for (const [name, write] of writes[database]) model.writes[database].set(name, write)
        }
        set.addAll(other)
        assertIs(set, model)
      }),
    { arbitrary }
  )

  it.effect.prop(
    "adds the writes of another set below its own: its own writes win",
    { earlier: Schema.Array(Step), later: Schema.Array(Step) },
    ({ earlier, later }) =>
      Effect.sync(() => {
        const [set, { cleared, writes: over }] = made(later)
        const [other, { writes: under }] = made(earlier)
        set.addUnder(other)
        const writes = { one: new Map([...under.one, ...over.one]), two: new Map([...under.two, ...over.two]) }
        assertIs(set, { cleared, writes })
      }),
    { arbitrary }
  )

  it("does not change when a write is removed from a database to which it does not write", () => {
    const set = new WriteSet()
    set.remove("one", ByteString("a"))
    set.removeAll("one")
    assert.isTrue(set.isEmpty)
  })
})

describe("the name of a key of a database", () => {
  it("is unique across keys and databases", () => {
    const addresses = [["one", "a"], ["one", "b"], ["two", "a"], ["onea", ""], ["on", "ea"]] as const
    const given = addresses.map(([database, key]) => qualifiedKey(database, ByteString(key)))
    assert.strictEqual(new Set(given).size, addresses.length)
  })
})
