/** `import`: records from a file. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Inspect from "../../../Inspect.ts"
import { Store } from "../../../Store.ts"
import { count } from "../../quantity.ts"
import { checkWrite } from "../confirm.ts"
import { No, Usage } from "../failures.ts"
import * as FilePaths from "../filePaths.ts"
import * as Files from "../files.ts"
import * as FirstLine from "../firstLine.ts"
import { isMissing, withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"
import * as Progress from "../progress.ts"
import * as SchemaModule from "../schemaModule.ts"

const parameters = {
  store: Parameters.store,
  file: Argument.String("file").pipe(
    Argument.withDescription("File of an export, compressed with gzip or not; - is standard input")
  ),
  write: Parameters.write,
  format: Flag.Literals("format", ["ndjson", "csv", "dump"]).pipe(
    Flag.withDescription("Default: by the name of the file, else ndjson"),
    Flag.optional
  ),
  mode: Flag.Literals("mode", ["insert", "put", "skip"]).pipe(
    Flag.withDescription("If a key exists: refuse the line, replace the record, or keep the record. Default: insert"),
    Flag.withDefault("insert")
  ),
  batch: Flag.Int("batch").pipe(
    Flag.withDescription("How many lines one transaction imports. Default: 1000"),
    Flag.filter((lines) => lines >= 1, () => "a number of at least 1"),
    Flag.withDefault(1000)
  ),
  schema: Flag.String("schema").pipe(
    Flag.withDescription("Module that exports collections: their records are checked by their schemas"),
    Flag.withMetavar("module"),
    Flag.optional
  ),
  dryRun: Parameters.flag("dry-run", "Only check the lines, and write nothing"),
  resume: Parameters.flag("resume", "Continue an import of the same file that was interrupted"),
  fromLine: Flag.Int("from-line").pipe(
    Flag.withDescription("Begin at this line"),
    Flag.filter((line) => line >= 1, () => "a number of at least 1"),
    Flag.optional
  ),
  rejects: Flag.String("rejects").pipe(
    Flag.withDescription("Add lines that are refused to this file, and continue"),
    Flag.withMetavar("file"),
    Flag.optional
  )
}

interface Given {
  readonly file: string
  readonly format: Option.Option<Inspect.TransferFormat>
  readonly mode: Inspect.ImportMode
  readonly batch: number
  readonly schema: Option.Option<string>
  readonly dryRun: boolean
  readonly resume: boolean
  readonly fromLine: Option.Option<number>
  readonly rejects: Option.Option<string>
}

const formatOf = ({ file, format }: Given): Inspect.TransferFormat => {
  const name = file.replace(/\.gz$/, "")
  const byName = name.endsWith(".csv") ? "csv" : name.endsWith(".dump") ? "dump" : "ndjson"
  return Option.getOrElse(format, () => byName)
}

/** The most refused lines that are named on standard error. */
const shownRejects = 20

/** Whether records of this import are in the store, so that it can be continued. */
const hasProgress = ({ lines, written }: Inspect.ImportReport, resume: boolean): boolean =>
  written > 0 || (resume && lines > 0)

/** Opens the collections of the module. A dry run cannot create, migrate or index a collection. */
const openCollections = ({ dryRun, schema }: Given) =>
  Effect.catchIf(
    SchemaModule.openCollections(schema),
    (error) => dryRun && error._tag === "CollectionFailed",
    ({ message }) =>
      Effect.fail(
        new Usage({
          message: `A dry run only reads the store, and cannot open the collections of --schema so: ${message} ` +
            "Leave out --schema, or give the path of a new store."
        })
      )
  )

/** Reads the first line and checks it. A line of NDJSON that is wrong may be left out, or go to the file of --rejects. */
const readSource = Effect.fnUntraced(function*(given: Given) {
  const source = yield* FirstLine.read(Files.gunzip(Files.read(given.file)))
  const format = formatOf(given)
  const mayBeWrong = Option.isSome(given.rejects) || Option.isSome(given.fromLine) || given.resume
  if (format !== "ndjson" || !mayBeWrong) yield* Inspect.checkFirstLine(source.line, format)
  return source
})

const headerOf = (given: Given, { line }: Source): string | undefined =>
  formatOf(given) === "csv" ? line.toString("utf8").trimEnd() : undefined

type Source = Effect.Success<ReturnType<typeof readSource>>

/** Adds refused lines to a file. A new file of CSV begins with the names of the columns. */
const openRejects = Effect.fnUntraced(function*(path: string, header: string | undefined) {
  const fs = yield* FileSystem.FileSystem
  const add = yield* Files.appender(path)
  let hasHeader = header === undefined || (yield* Effect.match(fs.stat(path), {
    onFailure: () => false,
    onSuccess: ({ size }) => Number(size) > 0
  }))
  return (lines: ReadonlyArray<string>) => {
    const all = hasHeader || header === undefined ? lines : [header, ...lines]
    hasHeader = true
    return add(all)
  }
})

const handle = Effect.fnUntraced(function*(given: Given, source: Source) {
  const { batch, dryRun, mode, resume } = given
  const output = yield* Output.make
  const progress = yield* Progress.make(output)
  const collections = yield* openCollections(given)
  let last: Inspect.ImportReport | undefined
  const addRejects = Option.isSome(given.rejects)
    ? yield* openRejects(given.rejects.value, headerOf(given, source))
    : undefined
  let shown = 0
  const onRejected = addRejects === undefined ? undefined : Effect.fnUntraced(
    function*(lines: ReadonlyArray<Inspect.RejectedLine>) {
      yield* addRejects(lines.map(({ text }) => text))
      for (const { detail, number } of lines.slice(0, shownRejects - shown)) {
        shown++
        yield* output.note(`Line ${number}: ${detail}`)
      }
    }
  )
  const imported = Inspect.importStore(source.bytes, {
    format: formatOf(given),
    mode,
    collections,
    batchSize: batch,
    dryRun,
    resume,
    fromLine: Option.getOrUndefined(given.fromLine),
    onRejected,
    onProgress: (report) => {
      last = report
      return progress.update([[report.lines, "lines"], [report.rejected, "refused"]])
    }
  })
  const tellEnd = Effect.suspend(() =>
    dryRun || last === undefined || !hasProgress(last, resume)
      ? Effect.void
      : output.note(`The lines up to ${last.lines} are imported. Continue with --resume.`)
  )
  const report = yield* imported.pipe(
    Effect.ensuring(progress.clear),
    Effect.onError(() => tellEnd)
  )
  const { expired, lines, rejected, skipped, written } = report
  yield* Output.writeFields(
    output,
    [
      ["lines", `${lines}`],
      [dryRun ? "valid" : "written", `${written}`],
      ["skipped", `${skipped}`],
      ["expired", `${expired}`],
      ["refused", `${rejected}`]
    ],
    report
  )
  if (rejected > 0) {
    const where = Option.match(given.rejects, { onNone: () => "", onSome: (path) => `: see ${path}` })
    return yield* new No({ message: `${count(rejected, "line")} refused${where}.` })
  }
})

/** A dry run writes nothing, so it needs no permission. */
const checked = ({ dryRun, write }: Given & { readonly write: boolean }) => dryRun ? Effect.void : checkWrite(write)

const checkFiles = Effect.fnUntraced(function*({ file, rejects }: Given) {
  yield* FilePaths.checkReadable(file)
  if (Option.isSome(rejects)) yield* FilePaths.checkWritable("--rejects", rejects.value)
})

/** Runs the command on its store. A dry run only reads it, and if there is none, it uses a temporary one. */
const run = ({ store, ...given }: Given & { readonly store: Parameters.StoreParameters; readonly write: boolean }) =>
  Effect.scoped(Effect.flatMap(readSource(given), (source) => {
    const use = handle(given, source)
    return Effect.catchIf(
      withStore(store, use, { write: !given.dryRun, create: true }),
      (error) => given.dryRun && isMissing(error),
      () => Effect.provide(use, Store.layerTemp())
    )
  }))

/** The command. */
export const command = Command.make(
  "import",
  parameters,
  (given) => checked(given).pipe(Effect.andThen(checkFiles(given)), Effect.andThen(run(given)))
).pipe(
  Command.withExamples([
    { command: "effect-lmdb import ./data/copy ./cities.ndjson.gz --write", description: "Into a new store" },
    {
      command: "effect-lmdb import ./data/new ./cities.ndjson.gz --dry-run",
      description: "Check the file: what could not be imported?"
    },
    {
      command: "effect-lmdb import ./data/copy ./cities.ndjson.gz --write --mode put --rejects ./refused.ndjson",
      description: "Replace what exists, and keep the lines that are refused"
    },
    {
      command: "effect-lmdb import ./data/other ./cities.ndjson.gz --write --resume",
      description: "Continue after an interruption"
    }
  ])
)
