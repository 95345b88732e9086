/**
 * The backups that `backup --keep` makes in one folder, and the deletion of the oldest ones.
 *
 * A backup is a folder `NAME-TIME` with the file `effect-lmdb-backup.json`, which says of which store it is. That file is
 * written last, so a backup that was interrupted or is damaged has none. Only a folder whose name, file and content are as this
 * command makes them is ever deleted. A backup that was renamed stays, and so does one to which a file was added.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { fileFailed } from "./failures.ts"

const markName = "effect-lmdb-backup.json"

/** What is in the folder of a backup: the file that is the backup, and those that opening it makes. */
const ownFiles = [
  "data.mdb",
  "lock.mdb",
  "data.mdb-lock",
  "data.mdb-store.lock",
  "store.lock",
  "store.closed",
  markName
]

const Mark = Schema.Struct({
  /** The store: its path, or its address without user and password. */
  store: Schema.String,
  madeAt: Schema.DateTimeUtcFromString
})

/** What the file in the folder of a backup says. */
type Mark = typeof Mark.Type

const MarkText = Schema.fromJsonString(Mark)

/** The last part of the path of a store, as a part of the name of a folder. */
const baseOf = (store: string): string =>
  (store.split(/[/\\]/).findLast((part) => part !== "") ?? "store").replace(/[^\w.-]/g, "_")

/** The name of the folder of a backup: `cities-2026-11-30T03-00-00.000Z`. */
export const nameOf = ({ madeAt, store }: Mark): string =>
  `${baseOf(store)}-${DateTime.formatIso(madeAt).replaceAll(":", "-")}`

/** A complete backup. */
interface Backup {
  readonly folder: string
  readonly mark: Mark
}

/** Marks a backup as complete. */
export const complete = Effect.fnUntraced(function*(folder: string, mark: Mark) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const text = yield* Effect.orDie(Schema.encodeEffect(MarkText)(mark))
  yield* Effect.mapError(
    fs.writeFileString(path.join(folder, markName), `${text}\n`),
    fileFailed(`The backup at ${folder} is complete, and cannot be marked so`)
  )
})

/** Reads a folder as a backup of a store. `None` if it is anything else. */
const read = Effect.fnUntraced(function*(parent: string, name: string, store: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = path.join(parent, name)
  // What a symbolic link leads to was not made here.
  const isLink = yield* Effect.isSuccess(fs.readLink(folder))
  if (isLink) return Option.none<Backup>()
  return yield* Effect.gen(function*() {
    const mark = yield* Schema.decodeEffect(MarkText)(yield* fs.readFileString(path.join(folder, markName)))
    const files = yield* fs.readDirectory(folder)
    const isOwn = mark.store === store && name === nameOf(mark) && files.every((file) => ownFiles.includes(file))
    return isOwn ? Option.some<Backup>({ folder, mark }) : Option.none<Backup>()
  }).pipe(Effect.orElseSucceed(() => Option.none<Backup>()))
})

/** Deletes a backup, file by file. Its mark goes first: what is left after a crash is not a backup. */
const remove = Effect.fnUntraced(function*({ folder }: Backup) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  yield* Effect.forEach(
    [markName, ...ownFiles],
    (file) => fs.remove(path.join(folder, file), { force: true }),
    { discard: true }
  ).pipe(
    Effect.andThen(fs.readDirectory(folder)),
    // A folder in which there is anything else stays.
    Effect.flatMap((left) => left.length === 0 ? fs.remove(folder, { recursive: true }) : Effect.void),
    Effect.mapError(fileFailed(`The old backup at ${folder} cannot be deleted`))
  )
})

/**
 * Deletes the oldest backups of a store in a folder, and never the one that was just made: the clock may have been set back
 * since an earlier one. Returns the folders that were deleted.
 */
export const deleteOldest = Effect.fnUntraced(function*(parent: string, made: Mark, keep: number) {
  const fs = yield* FileSystem.FileSystem
  const names = yield* Effect.mapError(fs.readDirectory(parent), fileFailed(`The folder ${parent} cannot be read`))
  const earlier = names.filter((name) => name !== nameOf(made))
  const backups = (yield* Effect.forEach(earlier, (name) => read(parent, name, made.store))).flatMap(Option.toArray)
  const newestFirst = backups.toSorted((a, b) => b.mark.madeAt.epochMilliseconds - a.mark.madeAt.epochMilliseconds)
  const oldest = newestFirst.slice(keep - 1)
  yield* Effect.forEach(oldest, remove, { discard: true })
  return oldest.map(({ folder }) => folder)
})
