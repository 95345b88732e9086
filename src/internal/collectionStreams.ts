/**
 * Streams of a collection and of its indexes: ranges of typed keys, and records decoded
 * part by part.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CollectionRange, Undecodable } from "../CollectionService.ts"
import type { Bound, KeyRange } from "../Engine.ts"
import type { ByteString } from "../Key.ts"
import type { KeyPrefix, KeySchema } from "../KeySchema.ts"
import { afterPrefix, intersect } from "../Range.ts"
import type { Closed, EngineFailure, KeyEncoding, ValueDecoding } from "../StoreError.ts"
import type { KeyCodec } from "./collectionCodec.ts"
import type { OpenRecords, RecordPull, Resolve } from "./recordStream.ts"
import * as Settled from "./settled.ts"

/** A range of typed keys. */
export type TypedRange<K extends KeySchema> = CollectionRange<K["Type"], KeyPrefix<K["Encoded"]>> & {
  readonly undecodable?: Undecodable | undefined
}

const at = (bytes: ByteString): Bound => ({ key: bytes, inclusive: true })

const before = (bytes: ByteString): Bound => ({ key: bytes, inclusive: false })

const startingWith = (bytes: ByteString): KeyRange => ({
  from: { key: bytes, inclusive: true },
  to: afterPrefix(bytes)
})

/**
 * Turns a range of typed keys into one of bytes. With `isPart` other bytes follow those
 * of a key, as in an index.
 */
export const toKeyRange = Effect.fnUntraced(function*<K extends KeySchema>(
  codec: KeyCodec<K>,
  range: TypedRange<K>,
  isPart: boolean
): Effect.fn.Return<KeyRange, KeyEncoding, K["EncodingServices"]> {
  let result: KeyRange = { from: undefined, to: undefined }
  const encode = (key: K["Type"]) => codec.encode(key)
  /** The end of all bytes that begin with those of a key, or the key itself where nothing follows. */
  const behind = (bytes: ByteString): Bound | undefined => isPart ? afterPrefix(bytes) : { key: bytes, inclusive: true }
  if (range.equals !== undefined) {
    const bytes = yield* encode(range.equals)
    result = intersect(result, { from: at(bytes), to: behind(bytes) })
  }
  if (range.prefix !== undefined) {
    result = intersect(result, startingWith(yield* codec.encodePrefix(range.prefix)))
  }
  if (range.gte !== undefined) result = intersect(result, { from: at(yield* encode(range.gte)), to: undefined })
  if (range.lt !== undefined) result = intersect(result, { from: undefined, to: before(yield* encode(range.lt)) })
  if (range.lte !== undefined) result = intersect(result, { from: undefined, to: behind(yield* encode(range.lte)) })
  if (range.gt !== undefined) {
    const bytes = yield* encode(range.gt)
    const after = isPart ? afterPrefix(bytes) : before(bytes)
    result = intersect(result, {
      from: after === undefined ? undefined : { key: after.key, inclusive: isPart },
      to: undefined
    })
  }
  return result
})

/** Makes what a stream gives of what was pulled; `undefined` leaves it out. */
export type Decode<A, B, E, R> = (item: A) => Effect.Effect<{ readonly item: B } | undefined, E, R>

/** Decodes what is pulled. What comes before an item that fails is given first. */
const decoding = <A, B, E, R>(
  pull: RecordPull<A>,
  decode: Decode<A, B, E, R>
): Pull.Pull<Arr.NonEmptyReadonlyArray<B>, E | Closed | EngineFailure, void, R> => {
  let failed: { readonly error: E } | undefined
  const decodePart = Effect.fnUntraced(function*(items: ReadonlyArray<A>) {
    const decoded: Array<B> = []
    for (const item of items) {
      const effect = decode(item)
      const result: Result.Result<{ readonly item: B } | undefined, E> = Settled.isSucceeded(effect)
        ? Result.succeed(effect.value)
        : yield* Effect.result(effect)
      if (Result.isFailure(result)) {
        failed = { error: result.failure }
        break
      }
      if (result.success !== undefined) decoded.push(result.success.item)
    }
    return decoded
  })
  const pullOrFail = Effect.suspend((): Pull.Pull<ReadonlyArray<A>, E | Closed | EngineFailure> =>
    failed === undefined ? pull : Effect.fail(failed.error)
  )
  const next: Pull.Pull<Arr.NonEmptyReadonlyArray<B>, E | Closed | EngineFailure, void, R> = Effect.flatMap(
    Effect.flatMap(pullOrFail, decodePart),
    (decoded) => Arr.isArrayNonEmpty(decoded) ? Effect.succeed(decoded) : next
  )
  return next
}

/** What is read of a database. */
interface Source<K extends KeySchema, A> {
  readonly open: OpenRecords
  readonly database: string
  readonly codec: KeyCodec<K>
  readonly isPart: boolean
  readonly values: boolean
  readonly resolve: Resolve<A>
}

/** A stream of a range of a database. */
export const make = <K extends KeySchema, A, B, E, R>(
  { codec, database, isPart, open, resolve, values }: Source<K, A>,
  range: TypedRange<K>,
  decode: Decode<A, B, E, R>
): Stream.Stream<B, E | KeyEncoding | Closed | EngineFailure, R | K["EncodingServices"]> =>
  Stream.unwrap(
    Effect.flatMap(toKeyRange(codec, range, isPart), (keyRange): Effect.Effect<
      Stream.Stream<B, E | Closed | EngineFailure, R>,
      Closed | EngineFailure,
      Scope.Scope
    > =>
      Effect.map(
        open({ ...range, ...keyRange, database, values }, resolve),
        (pull) => Stream.fromPull(Effect.succeed(decoding(pull, decode)))
      ))
  )

/** A value, or what is given in its place. */
export type Tolerated<V> = V | Result.Result<V, ValueDecoding>

/** Decodes a value in the way that is wanted; `undefined` leaves it out. */
export const tolerating = <V, R>(
  undecodable: Undecodable | undefined,
  decoded: Effect.Effect<V, ValueDecoding, R>
): Effect.Effect<{ readonly item: Tolerated<V> } | undefined, ValueDecoding, R> => {
  if (undecodable !== "result" && Settled.isSucceeded(decoded)) return Effect.succeed({ item: decoded.value })
  switch (undecodable) {
    case "skip":
      return Effect.match(decoded, { onFailure: () => undefined, onSuccess: (item) => ({ item }) })
    case "result":
      return Effect.map(Effect.result(decoded), (item) => ({ item }))
    default:
      return Effect.map(decoded, (item) => ({ item }))
  }
}
