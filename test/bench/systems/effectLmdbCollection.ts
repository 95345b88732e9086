/**
 * A typed collection of this store: keys and values go through schemas.
 *
 * Durability: as with the store. Like the others it has an index only where the
 * scenario looks records up by it.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Collection, Store } from "../../../src/index.ts"
import type { Open } from "../driver.ts"
import { BenchRecord } from "../records.ts"
import { driver, openStore } from "./effectLmdb.ts"

const schemas = { key: Schema.String, value: BenchRecord }

const indexes = { byScore: { key: Schema.Number, of: (record: BenchRecord) => record.score } }

/** Opens a collection in a store of its own. */
export const open: Open = Effect.fnUntraced(function*(folder, options) {
  const store = yield* openStore(folder, options)
  const { flush, withTransaction } = store
  if (options.indexed === true) {
    const records = yield* Effect.provideService(Collection.make("records", { ...schemas, indexes }), Store, store)
    return driver({ ...records, flush }, { byScore: records.indexes.byScore.get, withTransaction })
  }
  const records = yield* Effect.provideService(Collection.make("records", schemas), Store, store)
  return driver({ ...records, flush }, { withTransaction })
})
