/** A collection with indexes, for several processes. */
import * as Schema from "effect/Schema"
import { Collection } from "../src/index.ts"

const Person = Schema.Struct({ age: Schema.Int, badge: Schema.optionalKey(Schema.String) })

/** What the collection is. */
export const ages = {
  key: Schema.Int,
  value: Person,
  indexes: {
    byAge: { key: Schema.Int, of: ({ age }: typeof Person.Type) => age },
    byBadge: { key: Schema.String, of: ({ badge }: typeof Person.Type) => badge, unique: true }
  }
} as const

/** Opens the collection. */
export const openAges = Collection.make("ages", ages)

/** Opens one without a unique index: in a shared store its puts are buffered too. */
export const openBufferedAges = Collection.make("buffered ages", {
  key: ages.key,
  value: ages.value,
  indexes: { byAge: ages.indexes.byAge }
})
