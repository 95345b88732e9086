/**
 * Reads ranges of the keys of a collection.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { ValueSchema } from "../../CollectionOptions.ts"
import type { Collection } from "../../CollectionService.ts"
import type { KeySchema } from "../../KeySchema.ts"
import * as Settled from "../settled.ts"
import * as RecordStream from "../store/recordStream.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import { decodeValue, type Definition } from "./collectionDefinition.ts"
import * as RangeReads from "./rangeReads.ts"
import type { CollectionReader } from "./recordReads.ts"
import * as TypedRanges from "./typedRanges.ts"

type RangeMethods = "values" | "entries" | "collect" | "keys" | "count" | "isEmpty" | "first" | "last" | "page"

/** Makes the source of the ranges of a collection. */
export const sourceOf = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { access, definition: { database, key, name } }: CollectionReader<K, V, I>
): TypedRanges.Source<K> => ({
  open: (options, resolve) => RecordStream.open(access, options, resolve),
  find: (search, use) => Effect.withFiber((fiber) => StoreAccess.find(access, fiber, search, use)),
  locate: (part) => Exit.succeed(part.map((record): TypedRanges.Located => ({ entry: record[0], record }))),
  name,
  database,
  codec: key,
  isPart: false,
  keys: { values: false, resolve: RecordStream.itself },
  records: { values: true, resolve: RecordStream.itself }
})

/** Decodes the key and the value of a record. */
const decodeEntry = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  definition: Definition<K, V, I>,
  [key, record]: RecordStream.StoredRecord
) =>
  Settled.flatMap(
    definition.key.decode(key),
    (decoded) => Settled.map(decodeValue(definition, key, record), (value) => [decoded, value] as const)
  )

/** Makes the methods of a collection that read ranges. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { definition }: CollectionReader<K, V, I>,
  source: TypedRanges.Source<K>
): Pick<Collection<K, V, I>, RangeMethods> => {
  const decode = (record: RecordStream.StoredRecord) => decodeEntry(definition, record)
  return {
    ...TypedRanges.makeReads<K, K, V>(source, definition.key, ([key, record]) => decodeValue(definition, key, record)),
    first: (range = {}) => RangeReads.end(source, range, false, decode),
    last: (range = {}) => RangeReads.end(source, range, true, decode),
    page: (range) =>
      RangeReads.page(source, range, (record) => Effect.map(decode(record), ([key, value]) => ({ key, value })))
  }
}
