/**
 * Begins the writes of a collection, runs their steps, and fails with an error if a key is taken in a unique index. All
 * methods that write take its record.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { ValueSchema } from "../../CollectionOptions.ts"
import type { UniqueViolationOf } from "../../CollectionService.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import type { Closed, CommitError, KeyEncoding, ReadOnly } from "../../StoreError.ts"
import type { WriteOptions } from "../../WriteOptions.ts"
import * as Settled from "../settled.ts"
import * as DurableWrites from "../store/durableWrites.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import type { StoreInternals } from "../store/storeInternals.ts"
import type { Transaction } from "../transaction/transaction.ts"
import { type Definition, ifCurrent, refusalOf, shown } from "./collectionDefinition.ts"
import type { IndexMaintainer, TakenIndexKey } from "./indexMaintainer.ts"
import type { CollectionReader } from "./recordReads.ts"
import * as UniqueViolations from "./uniqueViolation.ts"

/** The part of an open collection that its methods need to write encoded records. */
export interface UntypedWriter extends StoreInternals {
  readonly definition: { readonly name: string; readonly signature: string }
  readonly maintainer: IndexMaintainer
  /** Whether records may expire. */
  readonly hasExpiry: boolean
  /** Whether the commit decides every write of a record, so that unique indexes are exact across processes. */
  readonly isAlwaysExact: boolean
}

/** An open collection, for the methods that write. */
export interface CollectionWriter<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>
  extends UntypedWriter, CollectionReader<K, V, I>
{
  readonly access: StoreAccess.StoreAccess
  readonly definition: Definition<K, V, I>
  /** The services that decode the keys of a `UniqueViolation`. */
  readonly services: Context.Context<UniqueViolations.KeyServices<K, I>>
}

/** Makes the record that the methods of a collection take. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { access, transactions }: StoreInternals,
  definition: Definition<K, V, I>,
  maintainer: IndexMaintainer,
  services: Context.Context<UniqueViolations.KeyServices<K, I>>
): CollectionWriter<K, V, I> => ({
  access,
  transactions,
  definition,
  maintainer,
  services,
  hasExpiry: definition.expires !== undefined,
  isAlwaysExact: access.handle.core.options.shared &&
    [...definition.indexes.values()].some(({ isUnique }) => isUnique)
})

/** Begins a write. Fails with `Closed` if another definition has opened the collection since. */
export const enterToWrite = <A, E, R>(
  { access, definition }: UntypedWriter,
  use: (transaction: Transaction | undefined) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Closed | ReadOnly, R> =>
  StoreAccess.enterToWrite(access, (transaction) => ifCurrent(definition, access.handle.core, () => use(transaction)))

/** Begins a call with the bytes of a key. */
export const withKey = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>, A, E, R>(
  { definition: { key: keyCodec } }: CollectionWriter<K, V, I>,
  key: K["Type"],
  use: (bytes: ByteString) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | KeyEncoding, R | K["EncodingServices"]> =>
  Effect.suspend(() => Settled.flatMap(keyCodec.encode(key), use))

/** Runs a write as the options of its call say. */
export const withOptions = <A, E, R>(
  self: UntypedWriter,
  method: string,
  options: WriteOptions | undefined,
  write: Effect.Effect<A, E, R>
): Effect.Effect<A, E | KeyEncoding | Closed | CommitError, R> =>
  options === undefined
    ? write
    : DurableWrites.run(self, { name: method, options, collection: self.definition.name }, write)

/**
 * Runs a step that the commit decides if the store is shared. The step may run long after the call, so it fails with
 * `Closed` if another definition has opened the collection in between.
 */
export const stepOfCollection = <A, E>(
  { access, definition }: UntypedWriter,
  transaction: Transaction | undefined,
  take: StoreAccess.TakeStep<A, E>,
  options: StoreAccess.StepOptions
): Effect.Effect<A, E | Closed | CommitError> =>
  StoreAccess.step(
    access,
    transaction,
    (reader): ReturnType<StoreAccess.TakeStep<A, E | Closed>> => {
      const refused = refusalOf(definition, access.handle.core)
      return refused === undefined ? take(reader) : Exit.fail(refused)
    },
    options
  )

/** Runs the write of a record. Fails with `UniqueViolation` if another record has its key in a unique index. */
export const catchTakenIndexKey = <
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>,
  A,
  E
>(
  { access, definition, services }: CollectionWriter<K, V, I>,
  key: K["Type"],
  bytes: ByteString,
  write: Effect.Effect<A, E | TakenIndexKey>
): Effect.Effect<A, E | UniqueViolationOf<K, I> | KeyEncoding> =>
  UniqueViolations.catchTakenIndexKey(write, (taken) => {
    access.handle.core.counts.uniqueViolations++
    return Effect.provideContext(UniqueViolations.fail(definition, taken, shown(definition, key, bytes)), services)
  })
