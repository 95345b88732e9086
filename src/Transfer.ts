/**
 * Moves the records of a store into a file and back: NDJSON, CSV, or the text format of `mdb_dump`.
 *
 * `exportStore` followed by `importStore` into an empty store gives the same store: its records with their expiry times,
 * namespaces, collections and indexes. The program opens its collections there without a migration and without building
 * an index. The schemas of the program are not needed.
 *
 * **Details**
 *
 * - Both read and write a part at a time, so that a store of any size needs little memory.
 * - The import of a batch of lines is one transaction. It also stores the number of its last line, so an import that was
 *   interrupted continues there with `resume`.
 * - It works with any backend: a store on a PostgreSQL server can be imported into a file, and the other way round.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import type { CsvError } from "effect/encoding/Csv"
import type { NdjsonError } from "effect/encoding/Ndjson"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as RecordPreparation from "./internal/collection/recordPreparation.ts"
import * as InspectContents from "./internal/inspect/contents.ts"
import * as StoreCopy from "./internal/store/storeCopy.ts"
import * as StoreInternals from "./internal/store/storeInternals.ts"
import * as CsvFormat from "./internal/transfer/csvFormat.ts"
import * as DumpFormat from "./internal/transfer/dumpFormat.ts"
import * as ExportLines from "./internal/transfer/exportLines.ts"
import * as ImportLines from "./internal/transfer/importLines.ts"
import * as ImportStart from "./internal/transfer/importStart.ts"
import * as NdjsonFormat from "./internal/transfer/ndjsonFormat.ts"
import { Store } from "./Store.ts"
import type { Closed, CommitError, EngineFailure, ReadOnly, ValueDecoding } from "./StoreError.ts"
import {
  type ImportMismatch,
  type ImportMode,
  type ImportReport,
  LineRejected,
  type RejectedLine
} from "./StoreImport.ts"
import type { NotInStore, Place } from "./StoreInspection.ts"
import type { StoreNotEmpty } from "./StoreTransfer.ts"

export { NotDumpable } from "./internal/transfer/dumpFormat.ts"
export * from "./StoreImport.ts"

/**
 * The format of an export.
 *
 * **Details**
 *
 * - `ndjson`: a line of JSON for each record, in the form of `TaggedJson`.
 * - `csv`: the same fields as columns.
 * - `dump`: the stored bytes of each database, as LMDB's `mdb_dump` writes them. `mdb_load` reads it.
 *
 * @category models
 * @since 0.2.0
 */
export type TransferFormat = "ndjson" | "csv" | "dump"

/**
 * Options of `exportStore`.
 *
 * @category options
 * @since 0.2.0
 */
export interface ExportOptions {
  /** Default: `"ndjson"`. */
  readonly format?: TransferFormat | undefined
  /** What is exported. Default: everything. */
  readonly places?: ReadonlyArray<Place> | undefined
  /**
   * Whether everything is exported as it was at one moment. With `false`, records that are written meanwhile may be
   * exported or not, and the file does not grow because of the export. Default: `true`.
   */
  readonly snapshot?: boolean | undefined
}

/**
 * The errors of `exportStore`.
 *
 * @category errors
 * @since 0.2.0
 */
export type ExportError =
  | NotInStore
  | Closed
  | EngineFailure
  | ValueDecoding
  | DumpFormat.NotDumpable
  | NdjsonError
  | CsvError

const encode = (
  access: StoreInternals.StoreInternals["access"],
  format: TransferFormat,
  options: ExportLines.LinesOptions
): Stream.Stream<Uint8Array, ExportError> => {
  switch (format) {
    case "ndjson":
      return NdjsonFormat.encode(ExportLines.lines(access, options))
    case "csv":
      return CsvFormat.encode(ExportLines.lines(access, options))
    case "dump":
      return DumpFormat.encode(access, options)
  }
}

/**
 * Streams the bytes of an export.
 *
 * **Details**
 *
 * A record whose value is damaged is exported with its bytes and what is wrong with it. An import refuses its line.
 *
 * @category transfers
 * @since 0.2.0
 */
export const exportStore = (
  { format = "ndjson", places, snapshot = true }: ExportOptions = {}
): Stream.Stream<Uint8Array, ExportError, Store> =>
  Stream.unwrap(Effect.gen(function*() {
    const { access } = StoreInternals.of(yield* Store)
    for (const place of places ?? []) yield* InspectContents.checkPlace(access, place)
    return encode(access, format, { places, isSnapshot: snapshot })
  }))

/**
 * An open collection, whatever its schemas.
 *
 * @category models
 * @since 0.2.0
 */
export interface AnyCollection {
  readonly name: string
}

/**
 * Options of `importStore`.
 *
 * @category options
 * @since 0.2.0
 */
export interface ImportOptions<E = never, R = never> {
  /** Default: `"ndjson"`. */
  readonly format?: TransferFormat | undefined
  /** What happens to a record whose key exists. Default: `"insert"`. */
  readonly mode?: ImportMode | undefined
  /** How many lines one transaction imports. Default: 1000. */
  readonly batchSize?: number | undefined
  /**
   * Open collections through whose schemas their records are imported. Lines then need no definition and no index entries,
   * and a record that the schema does not accept is refused. Default: records are imported as the lines say.
   */
  readonly collections?: ReadonlyArray<AnyCollection> | undefined
  /** Whether the lines are only checked, and nothing is written. Default: `false`. */
  readonly dryRun?: boolean | undefined
  /** Whether an import that was interrupted is continued after its last line. Default: `false`. */
  readonly resume?: boolean | undefined
  /** The number of the line at which the import begins. Default: 1. */
  readonly fromLine?: number | undefined
  /** Receives the lines of a batch that were refused. Default: the first such line ends the import with `LineRejected`. */
  readonly onRejected?: ((lines: ReadonlyArray<RejectedLine>) => Effect.Effect<void, E, R>) | undefined
  /** Runs after each batch. */
  readonly onProgress?: ((report: ImportReport) => Effect.Effect<void, E, R>) | undefined
}

/**
 * The errors of `importStore`.
 *
 * @category errors
 * @since 0.2.0
 */
export type ImportError = LineRejected | ImportMismatch | StoreNotEmpty | ReadOnly | Closed | CommitError

const decode = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  format: TransferFormat
): Stream.Stream<ImportLines.ImportItem, E | LineRejected, R> => {
  switch (format) {
    case "ndjson":
      return NdjsonFormat.decode(bytes)
    case "csv":
      return CsvFormat.decode(bytes)
    case "dump":
      return DumpFormat.decode(bytes)
  }
}

/**
 * Checks the first line of a file before its import. It fails with `LineRejected` if the file has not this format.
 *
 * @category transfers
 * @since 0.2.0
 */
export const checkFirstLine = (
  line: Uint8Array,
  format: TransferFormat = "ndjson"
): Effect.Effect<void, LineRejected> =>
  Effect.gen(function*() {
    const first = yield* Stream.runHead(decode(Stream.make(line), format))
    if (Option.isNone(first)) return
    const { line: said, number, text } = first.value
    const isOther = format === "dump" && !/^\w+=/.test(text)
    const detail = isOther ? "a dump begins with its version" : Result.isFailure(said) ? said.failure : undefined
    if (detail !== undefined) return yield* new LineRejected({ line: number, detail, text })
  })

const typedOf = (collections: ReadonlyArray<AnyCollection> = []) =>
  new Map(collections.flatMap((collection) => {
    const prepare = RecordPreparation.of(collection)
    return prepare === undefined ? [] : [[collection.name, prepare] as const]
  }))

/**
 * Imports the bytes of an export. Returns what became of its lines.
 *
 * **Details**
 *
 * - Records of a collection that the store does not have need its definition, which an export contains before the records.
 * - If the store has the collection, its schema and its indexes must be those of the export.
 * - A dump is imported into an empty store only: the call fails with `StoreNotEmpty`.
 * - After `LineRejected`, the lines before that line are imported. Correct it, and continue with `resume`.
 *
 * @category transfers
 * @since 0.2.0
 */
export const importStore = <E, R, E2 = never, R2 = never>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  options: ImportOptions<E2, R2> = {}
): Effect.Effect<ImportReport, E | E2 | ImportError, Store | R | R2> =>
  Effect.gen(function*() {
    const {
      batchSize = 1000,
      dryRun = false,
      format = "ndjson",
      fromLine,
      mode = "insert",
      onRejected,
      resume = false
    } = options
    const store = StoreInternals.of(yield* Store)
    const { access } = store
    const start = yield* ImportStart.find(access, { fromLine, resume })
    if (format === "dump" && start.number === 0) yield* StoreCopy.checkEmpty(access)
    const self: ImportLines.Importing = {
      store,
      mode,
      isDryRun: dryRun,
      typed: typedOf(options.collections),
      exported: new Map(),
      databases: new Set(yield* access.handle.core.backend.databases())
    }
    return yield* ImportLines.run(self, ImportStart.after(self, decode(bytes, format), start), {
      batchSize,
      onRejected,
      onProgress: options.onProgress ?? (() => Effect.void)
    })
  })
