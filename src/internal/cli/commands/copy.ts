/** `copy`: copies all that a store contains to an empty store. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Inspect from "../../../Inspect.ts"
import { Store } from "../../../Store.ts"
import * as ByteProgress from "../byteProgress.ts"
import { checkWrite } from "../confirm.ts"
import { Usage } from "../failures.ts"
import * as Format from "../format.ts"
import { fileOptions, isUrl, openNew, openStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"

const parameters = {
  store: Parameters.store,
  target: Argument.String("target").pipe(
    Argument.withDescription("Folder of the new store, or a postgres:// URL"),
    Argument.filter((text) => text !== "", () => "a path that is not empty")
  ),
  toKeyFile: Flag.String("to-key-file").pipe(
    Flag.withDescription("File with the encryption key of the new store"),
    Flag.withMetavar("file"),
    Flag.optional
  ),
  toTable: Flag.String("to-table").pipe(
    Flag.withDescription("First part of the names of the tables of a new store on PostgreSQL"),
    Flag.withDefault("store")
  ),
  plain: Parameters.flag("plain", "The copy of an encrypted store is not encrypted"),
  compression: Parameters.flag("compression", "Compress large values in the new store"),
  write: Parameters.write
}

/** Counts all records of a store. */
const count = Effect.map(
  Inspect.contents,
  ({ collections, namespaces, records }) =>
    [...collections, ...namespaces].reduce((sum, place) => sum + place.records, records)
)

/** The command. */
export const command = Command.make(
  "copy",
  parameters,
  Effect.fnUntraced(function*({ compression, plain, store: given, target, toKeyFile, toTable, write }) {
    yield* checkWrite(write)
    const output = yield* Output.make
    const to = { path: target, keyFile: toKeyFile, table: toTable }
    yield* Effect.scoped(Effect.gen(function*() {
      const from = yield* openStore(given)
      const isEncrypted = !isUrl(given.path) && (yield* fileOptions(given)).encryptionKey !== undefined
      if (isEncrypted && toKeyFile._tag === "None" && !plain) {
        return yield* new Usage({
          message:
            "The store is encrypted. Give the key of the copy with --to-key-file, or --plain for a copy without encryption."
        })
      }
      const copy = yield* openNew(to, { compression })
      const written = Effect.orElseSucceed(Effect.map(copy.stats, ({ fileBytes }) => fileBytes), () => 0)
      yield* ByteProgress.during(output, { bytes: written }, Store.copy(from, copy))
      const records = yield* Effect.provideService(count, Store, copy)
      yield* Output.writeDone(output, `Copied ${Format.number(records)} records.`, { records })
    }))
  })
).pipe(
  Command.withExamples([
    { command: "effect-lmdb copy ./data/cities ./data/copy --write", description: "To a new folder" },
    { command: "effect-lmdb copy ./data/cities ./data/small --compression --write", description: "With compression" }
  ])
)
