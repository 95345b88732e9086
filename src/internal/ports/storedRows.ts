/**
 * Reads the records of a port to show them, also damaged ones. It opens no collection: nothing is written, and a record, a key or
 * a catalog entry that is damaged does not stop it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Collection from "../../Collection.ts"
import * as Inspect from "../../Inspect.ts"
import type { OrderedKey } from "../../KeySchema.ts"
import type { Store } from "../../Store.ts"
import type { Closed, EngineFailure, KeyEncoding } from "../../StoreError.ts"

/** A record: its key in the stored form, and its value or what is wrong with it. */
export interface Row<V> {
  readonly key: OrderedKey
  readonly value: Result.Result<V, string>
}

type ReadError = Closed | EngineFailure | KeyEncoding

const decoderOf = <V, E>(schema: Schema.Codec<V, E>) => {
  const decode = Schema.decodeUnknownEffect(Collection.stored(schema))
  return ({ key, value }: Inspect.StoredRecord): Effect.Effect<Row<V>> =>
    Result.isFailure(value)
      ? Effect.succeed({ key, value: Result.fail(value.failure.detail) })
      : Effect.map(
        Effect.result(decode(value.success)),
        (decoded) => ({ key, value: Result.mapError(decoded, ({ message }) => message) })
      )
}

/** Streams the records of a collection in the order of their keys. None if the store does not have the collection. */
export const stream = <V, E>(
  collection: string,
  schema: Schema.Codec<V, E>,
  range: Inspect.StoredRange = {}
): Stream.Stream<Row<V>, ReadError, Store> =>
  Inspect.records(Inspect.collection(collection), range).pipe(
    Stream.mapEffect(decoderOf(schema)),
    Stream.catchTag("NotInStore", () => Stream.empty)
  )

/** Streams the records of a range of an index. None if the store does not have the index. */
export const entries = <V, E>(
  collection: string,
  index: string,
  schema: Schema.Codec<V, E>,
  range: Inspect.StoredRange
): Stream.Stream<Row<V>, ReadError, Store> =>
  Inspect.entries(collection, index, range).pipe(
    Stream.map(({ record }) => record),
    Stream.filter(Predicate.isNotUndefined),
    Stream.mapEffect(decoderOf(schema)),
    Stream.catchTag("NotInStore", () => Stream.empty)
  )

/** Reads a record. `None` if it does not exist. */
export const get = <V, E>(
  collection: string,
  schema: Schema.Codec<V, E>,
  key: OrderedKey
): Effect.Effect<Option.Option<Row<V>>, ReadError, Store> =>
  Inspect.get(Inspect.collection(collection), key).pipe(
    Effect.flatMap(Option.match({
      onNone: () => Effect.succeedNone,
      onSome: (record) => Effect.map(decoderOf(schema)(record), Option.some)
    })),
    Effect.catchTag("NotInStore", () => Effect.succeedNone)
  )
