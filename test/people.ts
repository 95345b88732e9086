/** People, who become lists of one in the second version of their collection. */
import * as Schema from "effect/Schema"
import { Collection } from "../src/index.ts"

/** What a person is in the first version. */
export const Person = Schema.Struct({ name: Schema.String })

/** The second version, by a migration that is to give `[value]`. A second run of it would show. */
export const listing = <E>(migration: Collection.Migration<E, never>) =>
  Collection.make("people", {
    key: Schema.Int,
    value: Schema.Array(Person),
    version: 2,
    migrations: { 1: migration }
  })
