/** `compact`: makes the file of a store as small as its records allow. */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import { Store } from "../../../Store.ts"
import * as ByteProgress from "../byteProgress.ts"
import { checkWrite } from "../confirm.ts"
import { Usage } from "../failures.ts"
import * as Format from "../format.ts"
import { fileOptions, isUrl } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"

/** The command. */
export const command = Command.make(
  "compact",
  { store: Parameters.store, write: Parameters.write },
  Effect.fnUntraced(function*({ store: given, write }) {
    yield* checkWrite(write)
    if (isUrl(given.path)) return yield* new Usage({ message: "PostgreSQL compacts its tables itself (VACUUM)." })
    const output = yield* Output.make
    const path = yield* Path.Path
    const { encryptionKey, ...options } = yield* fileOptions(given)
    if (encryptionKey !== undefined) {
      const message =
        "An encrypted store cannot be compacted in its place. effect-lmdb copy makes a copy without free pages."
      return yield* new Usage({ message })
    }
    const file = options.subdirectory === false ? given.path : path.join(given.path, "data.mdb")
    const folder = path.join(path.dirname(file), `.${path.basename(file)}.compact`)
    const { bytesAfter, bytesBefore } = yield* ByteProgress.during(
      output,
      { bytes: ByteProgress.lengthOfTemporary(folder, ".backup-") },
      Store.compact({ ...options, lockTimeout: "1 second" })
    )
    yield* Output.writeFields(
      output,
      [["before", Format.bytes(bytesBefore)], ["after", Format.bytes(bytesAfter)]],
      { bytesBefore, bytesAfter }
    )
  })
).pipe(
  Command.withExamples([
    { command: "effect-lmdb compact ./data/cities --write", description: "While no program has the store open" }
  ])
)
