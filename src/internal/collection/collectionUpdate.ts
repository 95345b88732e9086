/**
 * Updates a record of a collection: reads it, computes the next value, and writes that if the record is still the one
 * from which it was computed.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Reader, Step } from "../../Backend.ts"
import type { ValueInput, ValueSchema } from "../../CollectionOptions.ts"
import type { Collection } from "../../CollectionService.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import { type EngineFailure, type KeyEncoding, type ValueDecoding, ValueEncoding } from "../../StoreError.ts"
import { qualifiedKey } from "../buffer/writeSet.ts"
import { copyOf, isSameValue } from "../engineBytes.ts"
import * as Settled from "../settled.ts"
import { readAndCompute } from "../store/readAndCompute.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import * as RetryQueue from "../transaction/retryQueue.ts"
import { shown } from "./collectionDefinition.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import {
  catchTakenIndexKey,
  type CollectionWriter,
  enterToWrite,
  stepOfCollection,
  withKey
} from "./collectionWriter.ts"
import * as IndexMaintainer from "./indexMaintainer.ts"
import * as RecordEncoding from "./recordEncoding.ts"
import { deletion } from "./recordWrites.ts"

type UpdateServices<V extends ValueSchema, I extends Record<string, KeySchema>> =
  | V["DecodingServices"]
  | V["EncodingServices"]
  | I[keyof I]["EncodingServices"]

type ComputeError<K extends KeySchema> =
  | KeyEncoding
  | ValueEncoding<K["Type"]>
  | ValueDecoding<K["Type"]>
  | EngineFailure

/** Computes the next value of a record, or says what is wrong with the arguments of the call. */
type ComputeNext<V extends ValueSchema> = (
  current: Option.Option<V["Type"]>
) => Result.Result<Option.Option<ValueInput<V>>, string>

/** One update: the key of the record, as the caller has it and as bytes, and the function of the caller. */
interface Update<K extends KeySchema, V extends ValueSchema> {
  readonly key: K["Type"]
  readonly bytes: ByteString
  readonly computeNext: ComputeNext<V>
}

/** The next value and its record; no record if the update deletes it or changes nothing. */
interface Next<V extends ValueSchema> {
  readonly value: Option.Option<V["Type"]>
  readonly record: RecordEncoding.EncodedRecord | undefined
  readonly isUnchanged: boolean
}

/** The bytes of a stored record, and what was computed from them. */
interface Computed<K extends KeySchema, V extends ValueSchema> {
  readonly old: Uint8Array | undefined
  readonly next: Exit.Exit<Next<V>, ComputeError<K>>
}

/**
 * The result of an attempt that has written nothing: another fiber or process wrote the record while the next value was
 * computed, or the next value cannot be computed within a step, because a schema waits.
 */
const again = Symbol("again")

type Outcome<K extends KeySchema, V extends ValueSchema> =
  | Exit.Exit<Option.Option<V["Type"]>, ComputeError<K>>
  | typeof again

type AttemptStep<K extends KeySchema, V extends ValueSchema> = Effect.Effect<
  Step<Outcome<K, V>>,
  IndexMaintainer.TakenIndexKey | EngineFailure
>

const nothingWritten: Exit.Exit<Step<typeof again>> = Exit.succeed({ result: again, writes: [] })

// ---------------------------------------------------------------------------
// computing
// ---------------------------------------------------------------------------

/** Checks and encodes the value that the function of the caller has returned. */
const encodeNext = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { definition }: CollectionWriter<K, V, I>,
  { bytes, computeNext, key }: Update<K, V>,
  current: Option.Option<V["Type"]>
): Effect.Effect<
  Next<V>,
  KeyEncoding | ValueEncoding<K["Type"]>,
  V["EncodingServices"] | I[keyof I]["EncodingServices"]
> => {
  const shownKey = () => shown(definition, key, bytes)
  const given = computeNext(current)
  if (Result.isFailure(given)) {
    return Effect.fail(
      new ValueEncoding<K["Type"]>({ ...shownKey(), detail: given.failure, collection: definition.name })
    )
  }
  const value = given.success
  if (value === current) return Effect.succeed({ value: current, record: undefined, isUnchanged: true })
  return Option.isNone(value)
    ? Effect.succeed({ value, record: undefined, isUnchanged: false })
    : Settled.map(
      RecordEncoding.encode(definition, bytes, value.value, shownKey),
      (record) => ({ value: Option.some(record.value), record, isUnchanged: false })
    )
}

/** Computes what an update writes. The effect has ended at once unless a schema waits for something. */
const compute = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  update: Update<K, V>,
  old: Uint8Array | undefined
): Effect.Effect<Next<V>, ComputeError<K>, UpdateServices<V, I>> => {
  const { definition } = self
  return Settled.flatMap(
    old === undefined
      ? Effect.succeedNone
      : Settled.map(definition.value.decode(old, () => shown(definition, update.key, update.bytes)), Option.some),
    (current) => encodeNext(self, update, current)
  )
}

const readRecord = (reader: Reader, database: string, key: ByteString) => reader.get(database, key, copyOf)

/** Computes from the record that is stored before the write begins. */
const computeFirst = Effect.fnUntraced(function*<
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>
>(self: CollectionWriter<K, V, I>, update: Update<K, V>) {
  const { access, definition: { database } } = self
  const old = yield* StoreAccess.read(access, (reader) => readRecord(reader, database, update.bytes))
  const computing = Effect.suspend(() => compute(self, update, old))
  // The failure may come from a record that another process has replaced since. The step then decides by the new record.
  const next = access.handle.core.options.shared ? yield* Effect.exit(computing) : Exit.succeed(yield* computing)
  const computed: Computed<K, V> = { old, next }
  return computed
})

// ---------------------------------------------------------------------------
// writing
// ---------------------------------------------------------------------------

/** Makes the step that writes what was computed from the stored record. */
const writeComputed = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  reader: Reader,
  key: ByteString,
  { next, old }: Computed<K, V>
): AttemptStep<K, V> => {
  if (Exit.isFailure(next)) return Exit.succeed({ result: Exit.failCause(next.cause), writes: [] })
  const { isUnchanged, record, value } = next.value
  const result = Exit.succeed(value)
  if (isUnchanged) return Exit.succeed({ result, writes: [] })
  return record === undefined
    ? Settled.map(deletion(self, reader, key), ({ writes }) => ({ result, writes }))
    : Settled.map(
      IndexMaintainer.toPut(
        self.maintainer,
        IndexMaintainer.holdersIn(reader),
        record,
        old === undefined ? undefined : CollectionRecord.entriesOf(old)
      ),
      (writes) => ({ result, writes })
    )
}

/** Reads, computes and writes in one step, if no schema waits. */
const attemptAtOnce = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  update: Update<K, V>
) => {
  const { access, definition } = self
  const { bytes, key } = update
  const computeNow = (old: Uint8Array | undefined) => {
    const next = compute(self, update, old)
    return Exit.succeed(Settled.isSettled(next) ? { old, next } : undefined)
  }
  const refuse = (detail: string) => {
    const next = Exit.fail(
      new ValueEncoding<K["Type"]>({ ...shown(definition, key, bytes), detail, collection: definition.name })
    )
    return Exit.succeed({ old: undefined, next })
  }
  const step = (reader: Reader): AttemptStep<K, V> =>
    Settled.flatMap(
      readAndCompute(reader, definition.database, bytes, computeNow, refuse),
      (computed) => computed === undefined ? nothingWritten : writeComputed(self, reader, bytes, computed)
    )
  return enterToWrite(
    self,
    (transaction) => catchTakenIndexKey(self, key, bytes, StoreAccess.step(access, transaction, step))
  )
}

/** Computes the next value once, and writes it unless the record was written in between. */
const attempt = Effect.fnUntraced(function*<
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>
>(self: CollectionWriter<K, V, I>, update: Update<K, V>) {
  const { access, definition: { database } } = self
  const { bytes, key } = update
  const { shared } = access.handle.core.options
  let computed = yield* computeFirst(self, update)
  return yield* enterToWrite(self, (transaction) => {
    const step = (reader: Reader): AttemptStep<K, V> =>
      Settled.flatMap(readRecord(reader, database, bytes), (old) => {
        if (!isSameValue(old, computed.old)) {
          // Other processes may write as fast as this one reads. Inside LMDB's write transaction they cannot.
          const next = shared && transaction === undefined ? compute(self, update, old) : undefined
          if (next === undefined || !Settled.isSettled(next)) return nothingWritten
          computed = { old, next }
        }
        return writeComputed(self, reader, bytes, computed)
      })
    const write = stepOfCollection(self, transaction, step, {
      exact: () => [database, bytes, Exit.isSuccess(computed.next) ? computed.next.value.record?.bytes ?? null : null]
    })
    return catchTakenIndexKey(self, key, bytes, write)
  })
})

/** Attempts an update until no other write comes between its read and its write. A schema may wait in between. */
const attemptUntilDone = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  update: Update<K, V>
) => {
  const { access: { handle: { core: { options: { shared }, retryQueue } } }, definition: { database } } = self
  const endOrRetry = (outcome: Outcome<K, V>) => outcome === again ? retry : outcome
  const retry: ReturnType<Collection<K, V, I>["update"]> = Effect.suspend(() => {
    const once = attempt(self, update)
    // In a shared store each attempt is a commit: fibers that overtake one another take turns.
    const inTurn = shared ? RetryQueue.inTurn(retryQueue, [qualifiedKey(database, update.bytes)], () => once) : once
    return Effect.flatMap(inTurn, endOrRetry)
  })
  return Effect.flatMap(shared ? attempt(self, update) : attemptAtOnce(self, update), endOrRetry)
}

/** Updates a record, and returns its next value. If `computeNext` returns `current` itself, nothing is written. */
export const updateBy = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  key: K["Type"],
  computeNext: ComputeNext<V>
): ReturnType<Collection<K, V, I>["update"]> =>
  withKey(self, key, (bytes) => attemptUntilDone(self, { key, bytes, computeNext }))
