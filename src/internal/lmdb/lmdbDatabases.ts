/**
 * Opens and creates the databases of an open environment.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { EngineFailure } from "../../StoreError.ts"
import * as CloseRecord from "./file/closeRecord.ts"
import { type LmdbEnvironment, openedFiles, run } from "./lmdbEnvironment.ts"
import { failure, revealCommitError } from "./lmdbErrors.ts"
import { type Files, openDatabase, openFound } from "./lmdbFiles.ts"

/** Whether other processes can create databases. */
export const hasOtherWriters = ({ options: { readOnly, shared } }: LmdbEnvironment): boolean => readOnly || shared

/** Opens the databases that other processes have created. */
export const findDatabases = (self: LmdbEnvironment, files: Files): Files => {
  // A commit is a write transaction, in which no database must be opened.
  if (!hasOtherWriters(self) || self.isCommitting) return files
  const found = openFound(files)
  self.mapped.files = found
  return found
}

/** Opens a database that another process may have created. Does nothing if there is none. */
export const openExisting = (self: LmdbEnvironment, name: string): Exit.Exit<void, EngineFailure> =>
  run(self, "open a database", (files) => {
    if (files.databases.has(name)) return
    const database = openDatabase(files.root, name, false)
    if (database === undefined) return
    self.mapped.files = { ...files, databases: new Map(files.databases).set(name, database) }
  })

/** Creates databases in one transaction. */
const makeDatabases = (
  { closeRecord, mapped }: LmdbEnvironment,
  { databases, meta, root }: Files,
  names: ReadonlyArray<string>
): Effect.Effect<void, EngineFailure> =>
  Effect.tryPromise({
    try: () => {
      const all = new Map(databases)
      return meta?.childTransaction(() => {
        for (const name of names) {
          const made = openDatabase(root, name, true)
          if (made !== undefined) all.set(name, made)
        }
      }).catch(revealCommitError).then(() => {
        // The store may have been closed meanwhile.
        if (mapped.files?.root !== root) return
        mapped.files = { ...mapped.files, databases: new Map([...mapped.files.databases, ...all]) }
      }) ?? Promise.resolve()
    },
    catch: (cause) => {
      closeRecord.isSound = false
      return failure("create a database")(cause)
    }
  })

const createMissing = Effect.fnUntraced(function*(self: LmdbEnvironment, names: ReadonlyArray<string>) {
  for (const name of names) yield* openExisting(self, name)
  const files = yield* openedFiles(self, "create a database")
  const missing = names.filter((name) => !files.databases.has(name))
  if (missing.length === 0 || self.options.readOnly) return
  yield* Effect.uninterruptible(
    Effect.andThen(CloseRecord.beforeCommit(self.closeRecord), makeDatabases(self, files, missing))
  )
})

/** Opens databases, and creates those that are missing. */
export const createDatabases = (
  self: LmdbEnvironment,
  names: ReadonlyArray<string>
): Effect.Effect<void, EngineFailure> =>
  Effect.suspend(() =>
    names.every((name) => self.mapped.files?.databases.has(name))
      ? Effect.void
      : self.lock.alone(createMissing(self, names))
  )
