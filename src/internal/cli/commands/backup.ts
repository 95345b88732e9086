/** `backup`: copies a store while it is in use. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Inspect from "../../../Inspect.ts"
import { Store } from "../../../Store.ts"
import * as BackupSet from "../backupSet.ts"
import * as ByteProgress from "../byteProgress.ts"
import { No } from "../failures.ts"
import * as Format from "../format.ts"
import { jsonText } from "../jsonText.ts"
import { fileOptions, isUrl, withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"

const parameters = {
  store: Parameters.store,
  destination: Argument.String("destination").pipe(
    Argument.withDescription("Folder of the new backup; with --keep, the folder in which the backups are")
  ),
  compact: Parameters.flag("compact", "Leave out free pages; not for encrypted stores"),
  verify: Parameters.flag("verify", "Check every page of the backup"),
  keep: Flag.Int("keep").pipe(
    Flag.withDescription("Name the backup by the time, and keep this number of backups; delete the oldest ones"),
    Flag.filter((keep) => keep >= 1, () => "a number of at least 1"),
    Flag.withMetavar("number"),
    Flag.optional
  )
}

/** Names a store in the mark of a backup: by its whole path, or by its address without user and password. */
const identify = Effect.fnUntraced(function*({ path: given, table }: Parameters.StoreParameters) {
  if (isUrl(given)) {
    const { host, pathname } = new URL(given)
    return `postgres://${host}${pathname}/${table}`
  }
  const path = yield* Path.Path
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.orElseSucceed(fs.realPath(given), () => path.resolve(given))
})

/** Where a backup is written. */
interface Target {
  readonly folder: string
  /** The path for the store: its file if the store is a file, otherwise its folder. */
  readonly path: string
  readonly isFile: boolean
}

const targetOf = Effect.fnUntraced(function*(
  given: Parameters.StoreParameters,
  destination: string,
  name: string | undefined
): Effect.fn.Return<Target, never, Path.Path | FileSystem.FileSystem> {
  const path = yield* Path.Path
  const fs = yield* FileSystem.FileSystem
  const isFile = yield* Effect.match(fs.stat(given.path), {
    onFailure: () => false,
    onSuccess: ({ type }) => type === "File"
  })
  if (name === undefined) return { folder: isFile ? path.dirname(destination) : destination, path: destination, isFile }
  const folder = path.join(destination, name)
  return { folder, path: isFile ? path.join(folder, "data.mdb") : folder, isFile }
})

/** The errno `EEXIST`. */
const alreadyExists = 17

/** Writes the backup. Returns its size. */
const write = Effect.fnUntraced(
  function*(output: Output.Output, { folder, isFile, path: target }: Target, compact: boolean) {
    const path = yield* Path.Path
    const store = yield* Store
    const { fileBytes, usedBytes } = yield* Inspect.state
    yield* ByteProgress.during(
      output,
      { bytes: ByteProgress.lengthOfTemporary(folder, ".backup-"), total: compact ? usedBytes : fileBytes },
      store.backup(target, { compact })
    ).pipe(
      Effect.catchIf(
        (error) => error._tag === "EngineFailure" && error.operation === "backup" && error.code === alreadyExists,
        () =>
          Effect.fail(new No({ message: `There is something at ${target}. Give another path, or remove it first.` }))
      )
    )
    return yield* ByteProgress.lengthOf(isFile ? target : path.join(target, "data.mdb"))
  }
)

/** Checks every page of a backup. */
const check = Effect.fnUntraced(function*(given: Parameters.StoreParameters, { isFile, path }: Target) {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const { encryptionKey } = yield* fileOptions(given)
  const options = { path, subdirectory: !isFile, readOnly: true, lock: false, verify: true, encryptionKey }
  yield* Effect.scoped(Store.make(options)).pipe(
    Effect.mapError(({ message }) => new No({ message: `The backup is damaged. ${message}` }))
  )
  // No program has opened the backup yet.
  yield* Effect.ignore(fs.remove(isFile ? `${path}-lock` : paths.join(path, "lock.mdb")))
})

/** The command. */
export const command = Command.make(
  "backup",
  parameters,
  Effect.fnUntraced(function*({ compact, destination, keep, store: given, verify }) {
    const output = yield* Output.make
    const mark = { store: yield* identify(given), madeAt: yield* DateTime.now }
    const target = yield* targetOf(given, destination, Option.isSome(keep) ? BackupSet.nameOf(mark) : undefined)
    const bytes = yield* withStore(given, write(output, target, compact))
    if (verify) yield* check(given, target)
    if (Option.isSome(keep)) yield* BackupSet.complete(target.folder, mark)
    const deleted = Option.isSome(keep) ? yield* BackupSet.deleteOldest(destination, mark, keep.value) : []
    const done = `Backed up ${Format.bytes(bytes)}${verify ? ", and checked every page" : ""}.`
    yield* output.note(deleted.length === 0 ? done : `${done} Deleted ${deleted.join(", ")}.`)
    if (output.settings.format === "text") return yield* output.write(`${target.path}\n`)
    yield* output.write(`${jsonText({ path: target.path, bytes, verified: verify, deleted })}\n`)
  })
).pipe(
  Command.withExamples([
    { command: "effect-lmdb backup ./data/cities ./backups/monday --verify", description: "One backup, checked" },
    {
      command: "effect-lmdb backup ./data/cities ./backups --keep 7 --compact --quiet",
      description: "For a nightly job: the last seven backups"
    }
  ])
)
