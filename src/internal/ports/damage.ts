/**
 * Reads records of which some may be damaged, so that one of them does not stop the others.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { ReadError } from "../../CollectionRange.ts"
import type { ValueDecoding } from "../../StoreError.ts"

/** The damaged records that the log has told of. */
export interface Damage {
  readonly reported: Set<string>
}

export const make = (): Damage => ({ reported: new Set() })

/** Logs a damaged record once, with what follows from it and what to do. */
export const report = (
  { reported }: Damage,
  { collection = "", message, shownKey }: ValueDecoding,
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
