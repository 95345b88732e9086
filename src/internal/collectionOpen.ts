/**
 * Brings what is stored of a collection to what the program wants: its version by
 * migrations, its indexes by building them.
 *
 * The database `collections` says of each collection what it is at present, and how far
 * work on it has come. A part of the work and what is said of it are one transaction: who
 * is killed in the middle goes on from there, and of two who open it at once one goes on
 * from where the other is.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { CollectionFailed, type CollectionFailedReason, type UniqueViolation } from "../CollectionError.ts"
import type { CollectionOptions, Migration, ValueSchema } from "../CollectionOptions.ts"
import type { Reader } from "../Engine.ts"
import { ByteString, fromBytes } from "../Key.ts"
import type { KeySchema } from "../KeySchema.ts"
import {
  type Closed,
  type EngineFailure,
  type KeyEncoding,
  type ValueDecoding,
  type ValueEncoding
} from "../StoreError.ts"
import type { Definition } from "./collectionDefinition.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import type { CollectionWrites } from "./collectionWrites.ts"
import { engineFailureIn } from "./decodingFailure.ts"
import { count } from "./quantity.ts"
import type { StoreInternals } from "./storeInternals.ts"
import * as Transaction from "./transaction.ts"

const descriptorsName = "collections"

/** The fingerprint of a version that no program has opened. */
const unknown = ""

const partRecords = 1024
const partBytes = 1024 * 1024
const recordsBetweenLogs = 10_000

/** The fingerprints of indexes, by their names. */
const Fingerprints = Schema.Array(Schema.Tuple([Schema.String, Schema.String]))

type Fingerprints = typeof Fingerprints.Type

const isSame = (a: Fingerprints, b: Fingerprints): boolean => {
  const others = new Map(b)
  return a.length === b.length && a.every(([name, fingerprint]) => others.get(name) === fingerprint)
}

/** What is stored about a collection. */
const Descriptor = Schema.Struct({
  version: Schema.Number,
  fingerprint: Schema.String,
  /** The indexes that are built. */
  indexes: Fingerprints,
  /** The last key that the migration from `version` has come to. */
  migratedTo: Schema.optionalKey(Schema.String),
  /** The indexes that there are when those that are being built are, and the last key that they were built to. */
  building: Schema.optionalKey(Schema.Struct({ indexes: Fingerprints, to: Schema.optionalKey(Schema.String) }))
})

type Descriptor = typeof Descriptor.Type

const decodeDescriptor = Schema.decodeUnknownOption(Descriptor)

/** What a part of the work came to. */
interface Progress {
  readonly isDone: boolean
  /** What was worked on, for the log. */
  readonly work: string
  readonly records: number
}

type IndexError = ValueDecoding | ValueEncoding | KeyEncoding | UniqueViolation

/** Makes what opens a collection. */
export const make = <
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>,
  R extends Record<number, unknown>
>(
  { access, holder: { core }, transactions }: StoreInternals,
  definition: Definition<K, V, I>,
  options: CollectionOptions<K, V, I, R>,
  writes: CollectionWrites<V, V["EncodingServices"] | I[keyof I]["EncodingServices"]>
) => {
  const { database, indexes, key: keyCodec, name, value: valueCodec } = definition
  const { environment, options: { readOnly }, values } = core
  const migrations: Readonly<Record<number, Migration<unknown, R[keyof R]>>> = options.migrations ?? {}
  const descriptorKey = fromBytes(Buffer.from(name))

  const refuse = (reason: CollectionFailedReason, detail: string, cause?: unknown) =>
    new CollectionFailed({ reason, collection: name, detail, ...(cause === undefined ? {} : { cause }) })

  const openDatabases = access.enter(() => {
    const names = [descriptorsName, database, ...Array.from(indexes.values(), (index) => index.database)]
    return Effect.catchCause(
      core.createDatabases(names),
      // The store may have been closed meanwhile.
      (cause): Effect.Effect<never, EngineFailure | Closed> => access.refusal() ?? Effect.failCause(cause)
    )
  }).pipe(
    Effect.catchTag("EngineFailure", (failure) =>
      // MDB_DBS_FULL
      Effect.fail(
        failure.code === -30791
          ? refuse("TooManyDatabases", "the store has as many databases as it can have.", failure)
          : failure
      ))
  )

  // ---------------------------------------------------------------------------
  // what is stored about it
  // ---------------------------------------------------------------------------

  const readDescriptor = (
    reader: Reader
  ): Effect.Effect<Option.Option<Descriptor>, CollectionFailed | EngineFailure> =>
    Effect.suspend((): Effect.Effect<Option.Option<Descriptor>, CollectionFailed | EngineFailure> => {
      const bytes = reader.get(descriptorsName, descriptorKey)
      if (Result.isFailure(bytes)) return Effect.fail(bytes.failure)
      if (bytes.success === undefined) return Effect.succeedNone
      const decoded = values.decode(bytes.success, bytes.success.length)
      const failure = Result.isFailure(decoded) ? engineFailureIn(decoded.failure) : undefined
      if (failure !== undefined) return Effect.fail(failure)
      const stored = Option.flatMap(Result.getSuccess(decoded), decodeDescriptor)
      return Option.isSome(stored)
        ? Effect.succeed(stored)
        : Effect.fail(refuse("NewerVersion", "what is stored about it is not known to this version of the package."))
    })

  const writeDescriptor = (transaction: Transaction.Transaction, descriptor: Descriptor) =>
    Effect.sync(() => {
      const bytes = Result.getOrThrow(values.encode(descriptor))
      transaction.write([[descriptorsName, descriptorKey, bytes]])
    })

  const wanted: Fingerprints = Array.from(indexes.values(), (index) => [index.name, index.fingerprint])

  /** From the first change on only this definition may write, also when the work is not finished. */
  const takeOver = (): void => {
    core.definitions.set(name, definition.signature)
  }

  const readPart = ({ reader }: Transaction.Transaction, after: string | undefined) =>
    Effect.fromResult(reader.read(database, {
      from: after === undefined ? undefined : { key: ByteString(after), inclusive: false },
      to: undefined,
      reverse: false,
      values: true,
      maxRecords: partRecords,
      maxBytes: partBytes
    }))

  // ---------------------------------------------------------------------------
  // a part of the work
  // ---------------------------------------------------------------------------

  /** The migration that begins with a version, for data that has this one or an earlier one. */
  const migrationFrom = (
    from: number,
    version: number
  ): Effect.Effect<Migration<unknown, R[keyof R]>, CollectionFailed> => {
    const migration = migrations[from]
    return migration === undefined
      ? Effect.fail(
        refuse("MissingMigration", `it has version ${version}, and there is no migration from version ${from}.`)
      )
      : Effect.succeed(migration)
  }

  const migrateRecord = Effect.fnUntraced(function*(
    from: number,
    migration: Migration<unknown, R[keyof R]>,
    key: ByteString,
    record: Uint8Array
  ) {
    const show = () => keyCodec.show(key)
    const failed = (cause: unknown) =>
      refuse(
        "Migration",
        `the migration from version ${from} failed at key ${show()}: ${
          Predicate.isError(cause) ? cause.message : String(cause)
        }`,
        cause
      )
    const encoded = yield* Effect.mapError(Effect.fromResult(valueCodec.decodeRaw(record, show)), failed)
    const migrated = yield* Effect.mapError(migration(encoded), failed)
    if (from + 1 === definition.version) yield* Effect.mapError(valueCodec.decodeEncoded(migrated, show), failed)
    const bytes = yield* Effect.mapError(Effect.fromResult(valueCodec.encodeRaw(migrated, show)), failed)
    return CollectionRecord.join(CollectionRecord.entriesOf(record), bytes)
  })

  /** Of a version before the present one nothing is known but that migrations lead to it. */
  const fingerprintAt = (version: number): string => version === definition.version ? definition.fingerprint : unknown

  const migratePart = Effect.fnUntraced(function*(transaction: Transaction.Transaction, descriptor: Descriptor) {
    const { migratedTo, version, ...rest } = descriptor
    const migration = yield* migrationFrom(version, version)
    takeOver()
    const { records, rest: behind } = yield* readPart(transaction, migratedTo)
    for (const [key, record] of records) {
      transaction.write([[database, key, yield* migrateRecord(version, migration, key, record)]])
    }
    const last = records.at(-1)
    yield* writeDescriptor(
      transaction,
      behind !== undefined && last !== undefined
        ? { ...descriptor, migratedTo: last[0] }
        // What the indexes are of may be another now.
        : {
          ...rest,
          version: version + 1,
          fingerprint: fingerprintAt(version + 1),
          indexes: [],
          building: { indexes: [] }
        }
    )
    return { isDone: false, work: `Migrating from version ${version}`, records: records.length }
  })

  /** Drops the indexes that are not wanted, and empties those that are to be built. */
  const beginIndexes = Effect.fnUntraced(
    function*(transaction: Transaction.Transaction, before: Descriptor) {
      takeOver()
      const { building: _, ...descriptor } = before
      const built = descriptor.indexes.filter(([index, fingerprint]) => indexes.get(index)?.fingerprint === fingerprint)
      const isBuilt = new Set(built.map(([index]) => `index/${name}/${index}`))
      for (const stored of environment.databases()) {
        if (stored.startsWith(`index/${name}/`) && !isBuilt.has(stored)) transaction.writes.clear(stored)
      }
      yield* writeDescriptor(transaction, {
        ...descriptor,
        indexes: built,
        ...(isSame(built, wanted) ? {} : { building: { indexes: wanted } })
      })
      return { isDone: false, work: "Building indexes", records: 0 }
    }
  )

  const buildPart = Effect.fnUntraced(function*(
    transaction: Transaction.Transaction,
    { building, ...descriptor }: Descriptor
  ) {
    const { records, rest } = yield* readPart(transaction, building?.to)
    for (const [key, record] of records) {
      const value = yield* valueCodec.decode(record, () => keyCodec.show(key))
      const encoded = yield* writes.encode(key, value)
      transaction.write(yield* Effect.fromResult(writes.toPut(transaction.reader, encoded, record)))
    }
    const last = records.at(-1)
    yield* writeDescriptor(
      transaction,
      rest !== undefined && last !== undefined
        ? { ...descriptor, building: { indexes: wanted, to: last[0] } }
        : { ...descriptor, indexes: wanted }
    )
    return { isDone: false, work: "Building indexes", records: records.length }
  })

  const done: Progress = { isDone: true, work: "", records: 0 }

  const checkVersion = Effect.fnUntraced(function*({ fingerprint, version }: Descriptor) {
    if (version > definition.version) {
      return yield* refuse("NewerVersion", `it has version ${version}, the program knows ${definition.version}.`)
    }
    // A missing one is found before the first has changed anything.
    for (let from = version; from < definition.version; from++) yield* migrationFrom(from, version)
    if (version === definition.version && fingerprint !== definition.fingerprint && fingerprint !== unknown) {
      return yield* refuse(
        "ChangedSchema",
        `its schemas are not those of version ${version}; give a new version and a migration.`
      )
    }
  })

  type Services = V["EncodingServices"] | V["DecodingServices"] | I[keyof I]["EncodingServices"]
  type Part<R2> = Effect.Effect<Progress, CollectionFailed | IndexError | EngineFailure, R2>
  type Migrate<R2> = (transaction: Transaction.Transaction, descriptor: Descriptor) => Part<R2>

  const workOn = Effect.fnUntraced(function*<R2>(
    transaction: Transaction.Transaction,
    migrate: Migrate<R2>
  ): Effect.fn.Return<Progress, CollectionFailed | IndexError | EngineFailure, R2 | Services> {
    const stored = yield* readDescriptor(transaction.reader)
    if (Option.isNone(stored)) {
      yield* writeDescriptor(transaction, {
        version: definition.version,
        fingerprint: definition.fingerprint,
        indexes: wanted
      })
      return done
    }
    const descriptor = stored.value
    yield* checkVersion(descriptor)
    if (descriptor.version < definition.version) return yield* migrate(transaction, descriptor)
    if (descriptor.fingerprint === unknown) {
      yield* writeDescriptor(transaction, { ...descriptor, fingerprint: definition.fingerprint })
      return { ...done, isDone: false }
    }
    if (descriptor.building === undefined && isSame(descriptor.indexes, wanted)) return done
    // Another program may have begun to build others.
    return descriptor.building !== undefined && wanted.length > 0 && isSame(descriptor.building.indexes, wanted)
      ? yield* buildPart(transaction, descriptor)
      : yield* beginIndexes(transaction, descriptor)
  })

  // ---------------------------------------------------------------------------
  // all of it
  // ---------------------------------------------------------------------------

  const inTransaction = <A, E, R2>(use: (transaction: Transaction.Transaction) => Effect.Effect<A, E, R2>) =>
    transactions.withTransaction(
      access.enterToWrite((transaction) =>
        transaction === undefined ? Effect.die("a transaction was begun") : use(transaction)
      )
    )

  const log = (what: string, records: number) =>
    Effect.logInfo(`${what} of the collection "${name}": ${count(records, "record")}`)

  const work = Effect.fnUntraced(function*<R2>(migrate: Migrate<R2>) {
    let records = 0
    let logged = 0
    for (;;) {
      const progress = yield* inTransaction((transaction) => workOn(transaction, migrate))
      if (progress.isDone) {
        return records > logged
          ? yield* Effect.logInfo(`The collection "${name}" is up to date: ${count(records, "record")}`)
          : undefined
      }
      if (records === 0 && progress.records > 0) yield* log(progress.work, progress.records)
      records += progress.records
      if (records - logged >= recordsBetweenLogs) {
        logged = records
        yield* log(progress.work, records)
      }
    }
  })

  /** A read-only store is as it is. */
  const check = Effect.gen(function*() {
    const stored = yield* access.read(readDescriptor)
    if (Option.isNone(stored)) return
    yield* checkVersion(stored.value)
    if (stored.value.version < definition.version) {
      return yield* refuse("Migration", `it has version ${stored.value.version}, and the store is read-only.`)
    }
    if (!isSame(stored.value.indexes, wanted)) {
      return yield* refuse("Index", "its indexes are not built, and the store is read-only.")
    }
  })

  const failedIndex = (error: IndexError) => Effect.fail(refuse("Index", error.message, error))

  return {
    /** Brings the collection to what the program wants, whatever becomes of a transaction around it. */
    open: Transaction.outside(core, Effect.andThen(openDatabases, readOnly ? check : work(migratePart))).pipe(
      Effect.catchTags({
        ValueDecoding: failedIndex,
        ValueEncoding: failedIndex,
        KeyEncoding: failedIndex,
        UniqueViolation: failedIndex
      })
    ),

    /** Builds all indexes anew. */
    rebuildIndexes: Transaction.outside(
      core,
      Effect.andThen(
        inTransaction((transaction) =>
          Effect.flatMap(readDescriptor(transaction.reader), (stored) =>
            Option.isSome(stored)
              ? beginIndexes(transaction, { ...stored.value, indexes: [] })
              : Effect.void)
        ),
        // A collection that was opened has been migrated.
        work(() => Effect.succeed(done))
      )
    )
  }
}
