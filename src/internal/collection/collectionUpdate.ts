/**
 * The update of a record of a collection: reads it, computes the next, and keeps that if it was
 * computed from what is there.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Reader, Step } from "../../Backend.ts"
import type { ValueInput, ValueSchema } from "../../CollectionOptions.ts"
import type { Collection, UniqueViolationOf } from "../../CollectionService.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import {
  type Closed,
  type EngineFailure,
  type KeyEncoding,
  type ReadOnly,
  type ShownKey,
  type ValueDecoding,
  ValueEncoding
} from "../../StoreError.ts"
import { qualifiedKey } from "../buffer/writeSet.ts"
import { copyOf, isSameValue } from "../engineBytes.ts"
import * as Settled from "../settled.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import * as RetryQueue from "../transaction/retryQueue.ts"
import type { Transaction } from "../transaction/transaction.ts"
import type { Definition } from "./collectionDefinition.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import * as IndexMaintainer from "./indexMaintainer.ts"
import * as RecordEncoding from "./recordEncoding.ts"
import * as UniqueViolations from "./uniqueViolation.ts"

/** The functions that it shares with the other methods of the collection. */
interface Common<K extends KeySchema, I extends Record<string, KeySchema>> {
  /** A step that may be run when another definition has opened the collection since it was asked for. */
  readonly current: <A, E>(step: StoreAccess.TakeStep<A, E>) => StoreAccess.TakeStep<A, E | Closed>
  /** Begins a write. */
  readonly enterToWrite: <A, E, R>(
    use: (transaction: Transaction | undefined) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | Closed | ReadOnly, R>
  /** Fails because another record has the key of this one in a unique index. */
  readonly failTaken: (
    taken: IndexMaintainer.Taken,
    shownKey: ShownKey<K["Type"]>
  ) => Effect.Effect<never, UniqueViolationOf<K, I> | KeyEncoding>
  /** The step that deletes a record, where there is one. */
  readonly removal: (reader: Reader, key: ByteString) => Effect.Effect<Step<boolean>, EngineFailure>
}

/** Computes the next value of a record, or says what is wrong with the arguments of the call. */
type TakeNext<V extends ValueSchema> = (
  current: Option.Option<V["Type"]>
) => Result.Result<Option.Option<ValueInput<V>>, string>

/** Updates a record, and gives its next value. If that is `current` itself, nothing is written. */
export type UpdateBy<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>> = (
  key: K["Type"],
  take: TakeNext<V>
) => ReturnType<Collection<K, V, I>["update"]>

/** Signals that a record was written over while its next value was computed. */
const overtaken = Symbol("overtaken")

/** Makes what updates the records of a collection. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  access: StoreAccess.StoreAccess,
  definition: Definition<K, V, I>,
  maintainer: IndexMaintainer.IndexMaintainer,
  { current, enterToWrite, failTaken, removal }: Common<K, I>
): UpdateBy<K, V, I> => {
  const { database, key: keyCodec, name, value: valueCodec } = definition
  const { core: { options: { shared }, retryQueue } } = access.handle
  type UpdateServices = V["DecodingServices"] | V["EncodingServices"] | I[keyof I]["EncodingServices"]
  type ComputeError = KeyEncoding | ValueEncoding<K["Type"]> | ValueDecoding<K["Type"]> | EngineFailure

  /** The key of the record, as the caller has it and as bytes. */
  interface Target {
    readonly key: K["Type"]
    readonly bytes: ByteString
  }

  const shown = ({ bytes, key }: Target): ShownKey<K["Type"]> => ({ key, shownKey: keyCodec.show(bytes) })

  interface Next {
    readonly value: Option.Option<V["Type"]>
    readonly record: RecordEncoding.EncodedRecord | undefined
    readonly isUnchanged: boolean
  }

  /** What comes of a stored record. */
  interface Computed {
    readonly old: Uint8Array | undefined
    readonly next: Exit.Exit<Next, ComputeError>
  }

  /** Computes what an update writes. It has ended at once unless a schema takes its time. */
  const compute = (
    target: Target,
    old: Uint8Array | undefined,
    take: TakeNext<V>
  ): Effect.Effect<Next, ComputeError, UpdateServices> =>
    Settled.flatMap(
      old === undefined
        ? Effect.succeedNone
        : Settled.map(valueCodec.decode(old, () => shown(target)), Option.some),
      (found): Effect.Effect<Next, KeyEncoding | ValueEncoding<K["Type"]>, UpdateServices> => {
        const given = take(found)
        if (Result.isFailure(given)) {
          return Effect.fail(new ValueEncoding({ ...shown(target), detail: given.failure, collection: name }))
        }
        const value = given.success
        if (value === found) return Effect.succeed({ value: found, record: undefined, isUnchanged: true })
        return Option.isNone(value)
          ? Effect.succeed({ value, record: undefined, isUnchanged: false })
          : Settled.map(
            RecordEncoding.encode(definition, target.bytes, value.value, () => shown(target)),
            (record) => ({ value: Option.some(record.value), record, isUnchanged: false })
          )
      }
    )

  const readRecord = (reader: Reader, key: ByteString) => reader.get(database, key, copyOf)

  const computeFirst = Effect.fnUntraced(function*(target: Target, take: TakeNext<V>) {
    const old = yield* StoreAccess.read(access, (reader) => readRecord(reader, target.bytes))
    const computing = Effect.suspend(() => compute(target, old, take))
    // The failure may come from a record that another process has replaced since. The step then decides by the new record.
    const next = shared ? yield* Effect.exit(computing) : Exit.succeed(yield* computing)
    const computed: Computed = { old, next }
    return computed
  })

  type Updated = Exit.Exit<Option.Option<V["Type"]>, ComputeError> | typeof overtaken

  /** The step that writes what was computed from what is there. */
  const writeComputed = (
    reader: Reader,
    key: ByteString,
    { next, old }: Computed
  ): Effect.Effect<Step<Updated>, IndexMaintainer.Taken | EngineFailure> => {
    if (Exit.isFailure(next)) return Exit.succeed({ result: Exit.failCause(next.cause), writes: [] })
    const { isUnchanged, record, value } = next.value
    const result = Exit.succeed(value)
    if (isUnchanged) return Exit.succeed({ result, writes: [] })
    return record === undefined
      ? Settled.map(removal(reader, key), (step) => ({ ...step, result }))
      : Settled.map(
        IndexMaintainer.toPut(
          maintainer,
          reader,
          record,
          old === undefined ? undefined : CollectionRecord.entriesOf(old)
        ),
        (all) => ({ result, writes: all })
      )
  }

  const updateOnce = Effect.fnUntraced(function*(target: Target, take: TakeNext<V>) {
    const { bytes } = target
    let computed = yield* computeFirst(target, take)
    return yield* enterToWrite((transaction) => {
      const step = (reader: Reader): Effect.Effect<Step<Updated>, IndexMaintainer.Taken | EngineFailure> =>
        Settled.flatMap(readRecord(reader, bytes), (old) => {
          if (!isSameValue(old, computed.old)) {
            // Other processes may write as fast as this one reads. Inside of the transaction they cannot.
            const next = shared && transaction === undefined ? compute(target, old, take) : undefined
            if (next === undefined || !Settled.isEnded(next)) return Exit.succeed({ result: overtaken, writes: [] })
            computed = { old, next }
          }
          return writeComputed(reader, bytes, computed)
        })
      const write = StoreAccess.step(access, transaction, current(step), {
        exact: () => [database, bytes, Exit.isSuccess(computed.next) ? computed.next.value.record?.bytes ?? null : null]
      })
      return UniqueViolations.telling(write, (taken) => failTaken(taken, shown(target)))
    })
  })

  /** Attempts until none is overtaken. A schema may take its time: between reading and writing others may write. */
  const updateUntilDone = (target: Target, take: TakeNext<V>) => {
    const attempt = updateOnce(target, take)
    // In a shared store each attempt is a commit: fibers that overtake one another take turns.
    const nextAttempt = shared
      ? RetryQueue.inTurn(retryQueue, [qualifiedKey(database, target.bytes)], () => attempt)
      : attempt
    const goOn = (outcome: Updated) => outcome === overtaken ? nextAttemptUntilDone : outcome
    const nextAttemptUntilDone: Effect.Effect<
      Option.Option<V["Type"]>,
      Effect.Error<typeof attempt> | ComputeError,
      Effect.Services<typeof attempt>
    > = Effect.suspend(() => Effect.flatMap(nextAttempt, goOn))
    return Effect.flatMap(attempt, goOn)
  }

  return (key, take) =>
    Effect.suspend(() => Settled.flatMap(keyCodec.encode(key), (bytes) => updateUntilDone({ key, bytes }, take)))
}
