/**
 * Steps on a record that depend on the time.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ReadError } from "../../CollectionRange.ts"
import type { WriteError } from "../../CollectionService.ts"
import type { ValueDecoding } from "../../StoreError.ts"
import type { StoreService } from "../../StoreService.ts"
import * as Damage from "./damage.ts"

/** Takes a record and the time in milliseconds. Returns a result and the next record, or none to delete it. */
export type TimedStep<V, A> = (current: V | undefined, now: number) => readonly [result: A, next: V | undefined]

/** A collection of records whose steps depend on the time. */
interface Records<K, V> {
  readonly get: (key: K) => Effect.Effect<Option.Option<V>, ReadError | ValueDecoding>
  readonly delete: (key: K) => Effect.Effect<void, WriteError>
  readonly modify: <A>(
    key: K,
    f: (current: Option.Option<V>) => readonly [result: A, next: Option.Option<V>]
  ) => Effect.Effect<A, WriteError | ValueDecoding>
}

/** The records of a port. A damaged one is replaced at its next step, as if it had not been there. */
export interface TimedRecords<K, V> {
  readonly store: StoreService
  readonly records: Records<K, V>
  readonly damage: Damage.Damage
  /** What follows for a damaged record, for the log. */
  readonly consequence: string
}

/**
 * Makes the function that `modify` of a collection runs. The time is that of the last run of the step, so it never comes
 * before the time of a step that was decided earlier. A record that the step returns as it was given is not written.
 */
const timedStep =
  <V, A>(clock: Clock.Clock, step: TimedStep<V, A>) =>
  (stored: Option.Option<V>): readonly [result: A, next: Option.Option<V>] => {
    const current = Option.getOrUndefined(stored)
    const [result, next] = step(current, clock.currentTimeMillisUnsafe())
    return [result, next === current ? stored : Option.fromUndefinedOr(next)]
  }

/** Reads a record. A damaged one is not there. */
export const read = <K, V>(self: TimedRecords<K, V>, key: K): Effect.Effect<Option.Option<V>, ReadError> =>
  Effect.catchTag(
    self.records.get(key),
    "ValueDecoding",
    (error) => Effect.as(Damage.report(self.damage, error, self.consequence), Option.none())
  )

/**
 * Runs a step on a record that was damaged: it is deleted before, in the same transaction. Another process may have replaced
 * it since, so it is read again.
 */
const replace = <K, V, A>(
  { records, store }: TimedRecords<K, V>,
  key: K,
  step: (current: Option.Option<V>) => readonly [result: A, next: Option.Option<V>]
) =>
  records.get(key).pipe(
    Effect.catchTag("ValueDecoding", () => records.delete(key)),
    Effect.andThen(records.modify(key, step)),
    store.withTransaction,
    Effect.withTracerEnabled(false)
  )

/** Runs a step on a record. */
export const run = <K, V, A>(self: TimedRecords<K, V>, key: K, step: TimedStep<V, A>) =>
  Clock.clockWith((clock) => {
    const computeNext = timedStep(clock, step)
    return Effect.catchTag(
      self.records.modify(key, computeNext),
      "ValueDecoding",
      (error) => Effect.tap(replace(self, key, computeNext), Damage.report(self.damage, error, self.consequence))
    )
  })
