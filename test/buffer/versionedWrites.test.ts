/** Views of versioned writes, against sets of writes that are copied for each version. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as VersionedWrites from "../../src/internal/buffer/versionedWrites.ts"
import { type Writes, WriteSet } from "../../src/internal/buffer/writeSet.ts"
import { ByteString } from "../../src/Key.ts"

const databases = ["one", "two"] as const

const keys = ["a", "b", "c"].map((name) => ByteString(name))

const Batch = Schema.Array(
  Schema.Struct({
    type: Schema.Literals(["set", "set", "delete", "clear"]),
    database: Schema.Literals(databases),
    key: Schema.Literals([0, 1, 2])
  })
)

const batchOf = (steps: typeof Batch.Type, number: number): WriteSet => {
  const batch = new WriteSet()
  for (const { database, key, type } of steps) {
    const at = keys[key]
    if (type === "clear") batch.clear(database)
    else if (at !== undefined) batch.set(database, at, type === "delete" ? null : Uint8Array.of(number))
  }
  return batch
}

const contentOf = (writes: Writes) =>
  databases.map((database) => ({
    cleared: writes.isCleared(database),
    values: keys.map((key) => writes.get(database, key)),
    entries: [...writes.entriesOf(database)].toSorted(([a], [b]) => a < b ? -1 : 1),
    range: writes.range(database, { from: { key: ByteString("b"), inclusive: true }, to: undefined })
  }))

describe("a view", () => {
  it.effect.prop(
    "shows the writes of its version, also after later writes were added",
    { batches: Schema.Array(Batch).check(Schema.isMaxLength(8)) },
    ({ batches }) =>
      Effect.sync(() => {
        const versions = VersionedWrites.make()
        const model = new WriteSet()
        const views = batches.map((steps, number) => {
          const batch = batchOf(steps, number)
          VersionedWrites.add(versions, batch)
          model.addAll(batch)
          return [VersionedWrites.view(versions), contentOf(model.freeze())] as const
        })
        for (const [view, expected] of views) {
          assert.deepStrictEqual(contentOf(view), expected)
          assert.deepStrictEqual(contentOf(view.freeze()), expected)
        }
      })
  )
})
