/** `export`: the records of a store as a file. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Inspect from "../../../Inspect.ts"
import { Usage } from "../failures.ts"
import * as FilePaths from "../filePaths.ts"
import * as Files from "../files.ts"
import { withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"
import * as Progress from "../progress.ts"

const parameters = {
  store: Parameters.store,
  collections: Flag.String("collection").pipe(
    Flag.withAlias("c"),
    Flag.withDescription("Only this collection; may be given several times"),
    Flag.withMetavar("name"),
    Flag.atLeast(0)
  ),
  namespaces: Flag.String("namespace").pipe(
    Flag.withAlias("n"),
    Flag.withDescription("Only this namespace; may be given several times"),
    Flag.withMetavar("name"),
    Flag.atLeast(0)
  ),
  format: Flag.Literals("format", ["ndjson", "csv", "dump"]).pipe(
    Flag.withDescription(
      "ndjson and csv: readable values; dump: the stored bytes, for mdb_load of LMDB. Default: ndjson"
    ),
    Flag.withDefault("ndjson")
  ),
  gzip: Parameters.flag("gzip", "Compress the output"),
  out: Flag.String("out").pipe(
    Flag.withDescription("Write to this file, not to standard output"),
    Flag.withMetavar("file"),
    Flag.optional
  ),
  overwrite: Parameters.flag("overwrite", "Replace the file of --out if it exists"),
  snapshot: Flag.Boolean("snapshot").pipe(
    Flag.withDescription("Everything as it is at one moment; with --no-snapshot the file does not grow meanwhile"),
    Flag.withDefault(true)
  )
}

interface Given {
  readonly collections: ReadonlyArray<string>
  readonly namespaces: ReadonlyArray<string>
  readonly format: Inspect.TransferFormat
  readonly gzip: boolean
  readonly out: Option.Option<string>
  readonly overwrite: boolean
  readonly snapshot: boolean
}

const placesOf = ({ collections, namespaces }: Given): ReadonlyArray<Inspect.Place> | undefined => {
  const places = [...namespaces.map(Inspect.namespace), ...collections.map(Inspect.collection)]
  return places.length === 0 ? undefined : places
}

const handle = Effect.fnUntraced(function*(given: Given) {
  const { format, out, snapshot } = given
  const output = yield* Output.make
  const progress = yield* Progress.make(output)
  let bytes = 0
  const exported = Inspect.exportStore({ format, places: placesOf(given), snapshot }).pipe(
    Stream.tap((part) => {
      bytes += part.length
      return progress.update([[bytes, "bytes"]])
    })
  )
  const content = given.gzip ? Files.gzip(exported) : exported
  const writing = Option.match(out, {
    onNone: () => output.writeAll(content),
    onSome: (path) => Files.write(path, content)
  })
  yield* Effect.ensuring(writing, progress.clear)
  if (Option.isSome(out)) yield* output.note(`Written: ${out.value}`)
})

/** Refuses to replace a file that nobody said may be replaced. */
const checkOut = Effect.fnUntraced(function*({ out, overwrite }: Given) {
  if (Option.isNone(out)) return
  const exists = yield* FilePaths.checkWritable("--out", out.value)
  if (exists && !overwrite) {
    return yield* new Usage({ message: `${out.value} exists. Give --overwrite to replace it.` })
  }
})

/** The command. */
export const command = Command.make(
  "export",
  parameters,
  (given) => Effect.andThen(checkOut(given), withStore(given.store, handle(given)))
).pipe(
  Command.withExamples([
    { command: "effect-lmdb export ./data/cities", description: "Everything, as lines of JSON" },
    {
      command: "effect-lmdb export ./data/cities --gzip --out ./all.ndjson.gz",
      description: "Into a compressed file"
    },
    {
      command: "effect-lmdb export ./data/cities -c cities --format csv",
      description: "One collection, as CSV"
    },
    {
      command: "effect-lmdb export ./data/cities --format dump --out ./cities.dump",
      description: "The stored bytes, for mdb_load"
    }
  ])
)
