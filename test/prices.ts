/** Prices in euros, which become cents in the second version of their collection: both have one shape. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Collection } from "../src/index.ts"

/** What a price is in both versions. */
const Price = Schema.Struct({ price: Schema.Number })

/** The version that an old program has. */
export const euros = Collection.make("prices", { key: Schema.Int, value: Price })

/** The version that a new program has, whose migration fails at one price. */
export const centsUntil = (bad: number) =>
  Collection.make("prices", {
    key: Schema.Int,
    value: Price,
    version: 2,
    migrations: {
      1: (value) =>
        Effect.flatMap(
          Schema.decodeUnknownEffect(Price)(value),
          ({ price }) => price === bad ? Effect.fail("bad price") : Effect.succeed({ price: price * 100 })
        )
    }
  })

/** The same after its repair. */
export const cents = centsUntil(-1)

/** A price for each number. */
export const manyPrices = (count: number) => Array.from({ length: count }, (_, key) => [key, { price: key }] as const)
