/** `restore`: brings a backup to the place of a store. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import { Store } from "../../../Store.ts"
import * as ByteProgress from "../byteProgress.ts"
import { checkWrite } from "../confirm.ts"
import { No, Usage } from "../failures.ts"
import { fileOptions, isUrl } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"

const parameters = {
  store: Parameters.store,
  backup: Argument.String("backup").pipe(Argument.withDescription("Folder or file of the backup")),
  overwrite: Parameters.flag("overwrite", "Replace the store that is there"),
  write: Parameters.write
}

const largest = (a: number, b: number): number => Math.max(a, b)

/** The command. */
export const command = Command.make(
  "restore",
  parameters,
  Effect.fnUntraced(function*({ backup: from, overwrite, store: given, write }) {
    yield* checkWrite(write)
    if (isUrl(given.path)) {
      return yield* new Usage({ message: "A backup is a store: effect-lmdb copy brings it to a server." })
    }
    const output = yield* Output.make
    const path = yield* Path.Path
    const options = yield* fileOptions(given)
    const folder = options.subdirectory === false ? path.dirname(given.path) : given.path
    const sizes = [ByteProgress.lengthOf(path.join(from, "data.mdb")), ByteProgress.lengthOf(from)] as const
    yield* ByteProgress.during(
      output,
      {
        bytes: ByteProgress.lengthOfTemporary(folder, ".restore-"),
        total: yield* Effect.zipWith(...sizes, largest)
      },
      Store.restore({ ...options, from, overwrite, lockTimeout: "1 second" })
    ).pipe(
      Effect.catchTag(
        "StoreNotEmpty",
        () => Effect.fail(new No({ message: `There is a store at ${given.path}. Give --overwrite to replace it.` }))
      )
    )
    yield* Output.writeDone(output, `Restored ${given.path} from ${from}.`, { path: given.path, from })
  })
).pipe(
  Command.withExamples([
    {
      command: "effect-lmdb restore ./data/cities ./backups/monday --overwrite --write",
      description: "Replace a store by a backup, of which every page is checked first"
    },
    { command: "effect-lmdb restore ./data/copy ./backups/monday --write", description: "To a new place" }
  ])
)
