/**
 * Reads records of which some may be damaged, so that one of them does not stop the others.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { ReadError } from "../../CollectionRange.ts"
import type { KeyEncoding, ValueDecoding } from "../../StoreError.ts"

/** The damaged records that the log has told of. */
export interface Damage {
  readonly reported: Set<string>
}

export const make = (): Damage => ({ reported: new Set() })

/** Logs a damaged record once, with what follows from it and what to do. The error says what is damaged: the key or the value. */
export const report = (
  { reported }: Damage,
  { collection = "", message, shownKey }: Pick<ValueDecoding | KeyEncoding, "collection" | "message" | "shownKey">,
  consequence: string
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const name = `${collection}/${shownKey}`
    if (reported.has(name)) return Effect.void
    reported.add(name)
    return Effect.logError(`${consequence}: ${message}`)
  })

/** Logs the damaged ones of some rows, each once. */
export const reportRows = (
  self: Damage,
  rows: ReadonlyArray<Result.Result<unknown, ValueDecoding>>,
  consequence: string
): Effect.Effect<void> =>
  Effect.forEach(rows.filter(Result.isFailure), ({ failure }) => report(self, failure, consequence), { discard: true })

/** Selects rows: in their order, and at most a number of them. */
interface FirstOptions<V, E, R> {
  /** Reads the first rows, at most `limit`. */
  readonly read: (limit: number) => Effect.Effect<ReadonlyArray<Result.Result<V, ValueDecoding>>, E, R>
  readonly wanted: number
  readonly holds: (value: V) => boolean
  /** How many of the first rows are read over. They are not reported. */
  readonly skipped?: ((rows: ReadonlyArray<Result.Result<V, ValueDecoding>>) => number) | undefined
  /** What follows for a damaged row, for the log. */
  readonly consequence: string
}

/**
 * Reads the first values that satisfy a condition. Damaged rows are logged and do not count: more rows are read until there
 * are enough values, or no more rows.
 */
export const first = Effect.fnUntraced(function*<V, E, R>(
  self: Damage,
  { consequence, holds, read, skipped = () => 0, wanted }: FirstOptions<V, E, R>
): Effect.fn.Return<ReadonlyArray<V>, E, R> {
  for (let limit = wanted;; limit *= 2) {
    const all = yield* read(limit)
    const rows = all.slice(skipped(all))
    const values = rows.filter(Result.isSuccess).map(({ success }) => success).filter(holds)
    if (values.length < wanted && all.length === limit) continue
    yield* reportRows(self, rows, consequence)
    return values.slice(0, wanted)
  }
})

/** A collection, for reads by key. */
interface Records<K, V> {
  readonly get: (key: K) => Effect.Effect<Option.Option<V>, ReadError | ValueDecoding>
  readonly getMany: (
    keys: ReadonlyArray<K>
  ) => Effect.Effect<{ readonly found: ReadonlyMap<K, V> }, ReadError | ValueDecoding>
}

/** What was read by keys: the records that decode, and the errors of those that do not. */
export interface Each<K, V> {
  readonly found: ReadonlyMap<K, V>
  readonly damaged: ReadonlyMap<K, ValueDecoding>
}

/** Reads records by their keys, one after the other. */
const getOneByOne = Effect.fnUntraced(function*<K, V>(records: Records<K, V>, keys: ReadonlyArray<K>) {
  const found = new Map<K, V>()
  const damaged = new Map<K, ValueDecoding>()
  for (const key of keys) {
    const one = yield* records.get(key).pipe(
      Effect.catchTag("ValueDecoding", (error) => Effect.sync(() => void damaged.set(key, error)))
    )
    if (one !== undefined && Option.isSome(one)) found.set(key, one.value)
  }
  return { found, damaged }
})

/** Reads records by their keys. If one of them is damaged, it reads them one by one. */
export const getEach = <K, V>(
  records: Records<K, V>,
  keys: ReadonlyArray<K>
): Effect.Effect<Each<K, V>, ReadError> =>
  records.getMany(keys).pipe(
    Effect.map(({ found }): Each<K, V> => ({ found, damaged: new Map() })),
    Effect.catchTag("ValueDecoding", () => getOneByOne(records, keys))
  )
