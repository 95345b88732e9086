/**
 * The state of an open environment of LMDB, and how its file is opened and closed.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { EngineOptions, Reader } from "../../Engine.ts"
import type { EngineFailure } from "../../StoreError.ts"
import type { CloseRecord } from "./file/closeRecord.ts"
import type * as FileIdentity from "./file/fileIdentity.ts"
import { failure, refuse } from "./lmdbErrors.ts"
import { checkMapSize, type Files, openFiles } from "./lmdbFiles.ts"
import type { SharedReader } from "./lmdbReader.ts"
import { mapSizeFor, mapSizeOf } from "./mapSize.ts"
import type { StoreLock } from "./storeLock.ts"

/** A database file and the limit of its size, both of which a resize changes. */
export interface MappedFile {
  /** The limit of the file, in bytes. */
  mapSize: number
  /** `undefined` while the file is closed: before it is opened, during a resize, and after its close. */
  files: Files | undefined
}

/** An open environment of LMDB. */
export interface LmdbEnvironment {
  readonly options: EngineOptions
  /** The path of the database file. */
  readonly file: string
  readonly lock: StoreLock
  readonly identity: FileIdentity.FileIdentity
  readonly closeRecord: CloseRecord
  readonly mapped: MappedFile
  /** Reads the latest committed state. */
  readonly present: Reader
  /** Reads the state of the write transaction that runs. */
  readonly inTransaction: Reader
  /** The names of the databases that were counted. They are counted before each commit, because they will be again. */
  readonly countedNames: Set<string>
  openSnapshots: number
  /**
   * While a commit runs, reads the state before it. LMDB shows the new state before the promise of the commit
   * resolves, and readers must not see it earlier.
   */
  beforeCommit: SharedReader | undefined
  /** The highest number of a transaction that is known to be visible. */
  lastTransaction: number
  /** Whether a commit runs. */
  isCommitting: boolean
}

/** Opens the file of a store, which has `pages` pages. */
export const openMapped = Effect.fnUntraced(function*(self: MappedFile, options: EngineOptions, pages: number) {
  self.mapSize = mapSizeOf(pages, options)
  yield* checkMapSize(self.mapSize, options)
  yield* Effect.try({
    try: () => {
      self.files = openFiles(options, mapSizeFor(self.mapSize, false))
    },
    catch: refuse(options)
  })
})

/** Closes the file of a store. Returns whether it was open, and LMDB has closed it without an error. */
export const closeMapped = (self: MappedFile): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    if (self.files === undefined) return Effect.succeed(false)
    const { root } = self.files
    self.files = undefined
    return Effect.isSuccess(Effect.tryPromise(() => root.close()))
  })

/** The open files. Throws if the environment is closed. */
export const filesOf = ({ files }: MappedFile): Files => {
  if (files === undefined) throw new Error("the environment is closed")
  return files
}

/** Calls the library. Turns every error into an `EngineFailure`. */
export const run = <A>(
  { mapped }: LmdbEnvironment,
  operation: string,
  call: (files: Files) => A
): Exit.Exit<A, EngineFailure> => {
  try {
    return Exit.succeed(call(filesOf(mapped)))
  } catch (cause) {
    return Exit.fail(failure(operation)(cause))
  }
}

/** The open files, or the error of an environment that is closed. */
export const openedFiles = (self: LmdbEnvironment, operation: string): Effect.Effect<Files, EngineFailure> =>
  Effect.suspend(() => run(self, operation, (files) => files))
